"""One serving process: every room built and wired, started in order, drained and closed in the reverse.

store -> ledger, identities -> rules -> upstreams -> pipeline -> admin port, data port
"""

from __future__ import annotations

import asyncio
import os
import platform
import random
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from gateway import __version__
from gateway.backends.http import HttpUpstreams
from gateway.bootstrap.assemble import Assembly, read_assembly
from gateway.bootstrap.clock import SystemClock
from gateway.bootstrap.core import Core, build_core
from gateway.bootstrap.desk import Desk
from gateway.bootstrap.ending import end_tasks, in_time
from gateway.bootstrap.office import Office
from gateway.bootstrap.readiness import Readiness
from gateway.bootstrap.reload import Rules
from gateway.bootstrap.secrets_file import pepper
from gateway.bootstrap.settings import SettingsFile
from gateway.bootstrap.standing import Standing
from gateway.bootstrap.store import connect
from gateway.bootstrap.tally import Tally
from gateway.bootstrap.watts import PowerViews
from gateway.feeds.tokens import Counter
from gateway.ledger.channel import ScriptChannel
from gateway.ledger.identities import KeyStore, RedisIdentities
from gateway.ledger.ids import new_id
from gateway.ledger.redis import RedisLedger
from gateway.ledger.statuses import Statuses
from gateway.pipeline.books import Books
from gateway.pipeline.overshoot import overshoot_bounds
from gateway.policy.router import Router
from gateway.server.admin import AdminServer
from gateway.server.data import DataServer
from gateway.server.recent import Recent
from gateway.telemetry.lag import watch_loop
from gateway.telemetry.logs import Log
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.records import JsonlRecorder
from gateway.telemetry.request_log import RequestLog
from gateway.telemetry.retention import Retention
from gateway.telemetry.views import BackendView, Views

ID_ENTROPY_BYTES = 10
AFTERCARE_SECONDS = 10.0  # settling after the last stream; Redis answers in milliseconds or not at all
MIB = 1024 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Process:
    """A gateway in this process and its event loop, wired and not yet started."""

    file: SettingsFile
    gateway: str
    log: Log
    draining: asyncio.Event
    store: ScriptChannel
    ledger: RedisLedger
    identities: RedisIdentities
    counter: Counter
    upstreams: HttpUpstreams
    recorder: JsonlRecorder
    rules: Rules
    core: Core
    metrics: Metrics
    standing: Standing
    data: DataServer
    admin: AdminServer
    tasks: list[asyncio.Task[None]]

    async def start(
        self, *, port: int, admin_port: int, admin_host: str | None = None, reuse_port: bool = False
    ) -> Mapping[str, int]:
        """Connect, open both ports; returns where. Raises JoulegateError, OSError."""
        self.upstreams.apply(self.rules.current().backends)
        self.recorder.start()
        await self.ledger.start()
        await self.identities.start()
        for work in (self.standing.follow(), self.rules.follow_files(), watch_loop(self.metrics.loop_lagged)):
            self.tasks.append(asyncio.create_task(work))
        settings = self.file.settings
        admin = await self.admin.start(admin_host or settings.admin.host, admin_port)
        data = await self.data.start(settings.listen.host, port, reuse_port=reuse_port)
        return {"port": int(data[1]), "admin_port": int(admin[1])}

    async def stop(self, drain_seconds: float) -> bool:
        """Stop accepting, finish streams, settle, write records, close everything. True: no stream was cut.

        Readiness says 503 from the first moment, and the admin port answers until the last.
        """
        clean = await self.data.drain(drain_seconds)
        unsettled = await self.core.aftercare.drain(AFTERCARE_SECONDS)
        if unsettled:
            self.log.error("unsettled_at_exit", count=unsettled)
        await self.close()
        return clean and not unsettled

    async def close(self) -> None:
        """Free everything, whatever of it was started. No room that will not close keeps the next from closing."""
        await end_tasks(self.tasks)
        await in_time("data", self.data.close(), self.log)
        await in_time("upstreams", self.upstreams.close(), self.log)
        await in_time("identities", self.identities.close(), self.log)
        await in_time("ledger", self.ledger.close(), self.log)
        await in_time("admin", self.admin.close(), self.log)
        lost = await asyncio.to_thread(self.recorder.close)
        if lost:
            self.log.error("records_lost_at_exit", lost=lost)
        await in_time("redis", self.store.close(), self.log)
        self.counter.close()


def build(file: SettingsFile, assembly: Assembly, redis_url: str, counter: Counter, log: Log) -> Process:
    """Wire every room. Needs a running event loop; opens nothing yet."""
    settings, clock, gateway, draining = file.settings, SystemClock(), gateway_name(), asyncio.Event()
    store, key_pepper, upstreams = connect(redis_url), pepper(file), HttpUpstreams()
    router, books = Router(random.random), Books()
    rules = Rules(assembly, read=lambda: read_assembly(file.path, os.environ), log=log)
    power = PowerViews(clock=clock, books=books, snapshot=rules.current, sites=lambda: rules.assembly.sites)
    recorder = JsonlRecorder(
        file.data_dir,
        gateway,
        now_ms=clock.wall_ms,
        log=log,
        tell=RequestLog(sys.stderr).tell,
        retention=Retention(keep_days=settings.records.keep_days, keep_bytes=settings.records.max_mib * MIB),
    )
    tally = Tally(recorder, Recent(), told=(power.ended,))
    metrics = Metrics(
        snapshot=assembly.snapshot,
        version=__version__,
        views=Views(
            backends=lambda: [backend_view(name, router, readiness, power) for name in rules.current().backends],
            sites=power.sites,
            budgets=lambda: standing.newest(),
            overshoot_usd_nanos=lambda: overshoot_bounds(rules.current()),
            holds_expired=lambda: ledger.holds_expired,
            unsettled=lambda: ledger.unsettled(),
            unsettled_dropped=lambda: ledger.unsettled_dropped,
            recorder=recorder.view,
        ),
    )
    ledger = RedisLedger(redis_url, observe=lambda verb, seconds: metrics.ledger_took(verb, seconds))
    identities = RedisIdentities(store, key_pepper, wall_ms=ledger.now_ms, monotonic=clock.monotonic)
    core = build_core(
        clock=clock,
        policies=rules,
        ledger=ledger,
        upstreams=upstreams,
        recorder=tally,
        signals=metrics,
        counter=counter,
        router=router,
        books=books,
        gateway=gateway,
    )
    standing = Standing(statuses=Statuses(store), snapshot=rules.current, claims=core.claims, now_ms=ledger.now_ms)
    readiness = Readiness(router=router, snapshot=rules.current, recorder=recorder, ask_store=identities.refresh)
    rules.follow(lambda fresh: upstreams.apply(fresh.snapshot.backends))
    rules.follow(lambda fresh: metrics.apply(fresh.snapshot))
    rules.follow(lambda fresh: books.open(fresh.snapshot.members(), clock.monotonic()))
    books.open(assembly.snapshot.members(), clock.monotonic())
    rules.hear(metrics.reloaded)

    def request_id() -> str:
        return new_id(ledger.now_ms(), os.urandom(ID_ENTROPY_BYTES))

    office = Office(
        clock=clock,
        rules=rules,
        core=core,
        tally=tally,
        power=power,
        keys=Desk(KeyStore(store, key_pepper)),
        statuses=standing.read,
        checks=readiness.checks,
        metrics=metrics.expose,
        streams=lambda: metrics.open_streams,
        new_id=request_id,
        draining=draining,
        started_ms=clock.wall_ms(),
        log=log,
    )
    data = DataServer(
        pipeline=core.pipeline,
        identities=identities,
        policies=rules,
        ledger=ledger,
        signals=metrics,
        recorder=tally,
        clock=clock,
        new_id=request_id,
        root=lambda identity: core.claims(rules.current()).root(identity),
        draining=draining,
        balances=standing.of,
        gateway=gateway,
    )
    return Process(
        file=file,
        gateway=gateway,
        log=log,
        draining=draining,
        store=store,
        ledger=ledger,
        identities=identities,
        counter=counter,
        upstreams=upstreams,
        recorder=recorder,
        rules=rules,
        core=core,
        metrics=metrics,
        standing=standing,
        data=data,
        admin=AdminServer(token=settings.admin.token.get_secret_value(), offices=office.offices(), draining=draining),
        tasks=[],
    )


def backend_view(name: str, router: Router, readiness: Readiness, power: PowerViews) -> BackendView:
    """One backend as metrics show it."""
    return BackendView(
        name=name,
        up=readiness.is_up(name),
        in_flight=router.in_flight(name),
        breaker=router.breaker(name).value,
        power_mw=power.power_mw(name),
        idle_mj=power.idle_mj(name),
    )


def gateway_name() -> str:
    """Names this process in records and ledger rows: host and pid, unique among the gateways of a moment."""
    host = re.sub(r"[^A-Za-z0-9-]", "-", platform.node())[:32] or "gateway"
    return f"{host}-{os.getpid()}"

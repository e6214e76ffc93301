"""Several workers behind one data port: the supervisor owns the embedded Valkey, the admin port and their lives."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Sequence

from gateway.bootstrap.assemble import Assembly, read_assembly
from gateway.bootstrap.clock import SystemClock
from gateway.bootstrap.crew import Crew
from gateway.bootstrap.crew_office import CrewOffice
from gateway.bootstrap.desk import Desk
from gateway.bootstrap.ending import in_time
from gateway.bootstrap.reload import Rules
from gateway.bootstrap.secrets_file import pepper
from gateway.bootstrap.serve import EXIT_CUT, Stops, announce
from gateway.bootstrap.settings import SettingsFile
from gateway.bootstrap.store import connect, redis_now_ms
from gateway.domain.budgets import BudgetStatus
from gateway.ledger.channel import ScriptChannel
from gateway.ledger.identities import KeyStore
from gateway.ledger.statuses import Statuses
from gateway.server.admin import AdminServer
from gateway.telemetry.logs import Log


async def supervise(file: SettingsFile, assembly: Assembly, redis_url: str, count: int, log: Log) -> int:
    """Run `count` workers until told to stop; returns the exit code. Raises ChildFailed when they do not start."""
    settings, stops = file.settings, Stops()
    token = settings.admin.token.get_secret_value()
    with held_port(settings.listen.host, settings.listen.port) as held:
        port: int = held.getsockname()[1]
        crew = Crew(config=file.path, port=port, count=count, token=token, log=log)
        store = connect(redis_url)
        draining, rules = asyncio.Event(), Rules(assembly, read=lambda: read_assembly(file.path, os.environ), log=log)
        admin = AdminServer(
            token=token, offices=_office(file, store, crew, rules, draining, log).offices(), draining=draining
        )
        try:
            await crew.start()
            following = asyncio.create_task(rules.follow_files())
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, crew.tell, signal.SIGHUP)
            bound = await admin.start(settings.admin.host, settings.admin.port)
            announce({"port": port, "admin_port": int(bound[1])}, log, workers=crew.pids)
            await stops.first.wait()
            draining.set()
            log.info("stopping", signal=stops.name)
            clean = await _left(crew, stops)
            following.cancel()
        finally:
            crew.tell(signal.SIGTERM)
            await in_time("admin", admin.close(), log)
            await in_time("store", store.close(), log)
    log.info("stopped")
    return 0 if clean else EXIT_CUT


async def _left(crew: Crew, stops: Stops) -> bool:
    """All workers have ended; a second signal is passed on to them, and they hurry."""
    stopping, hurry = asyncio.create_task(crew.stop()), asyncio.create_task(stops.second.wait())
    await asyncio.wait((stopping, hurry), return_when=asyncio.FIRST_COMPLETED)
    if not stopping.done():
        crew.tell(signal.SIGTERM)
    hurry.cancel()
    return await stopping


def _office(
    file: SettingsFile,
    store: ScriptChannel,
    crew: Crew,
    rules: Rules,
    draining: asyncio.Event,
    log: Log,
) -> CrewOffice:
    clock, statuses = SystemClock(), Statuses(store)

    async def standing() -> Sequence[BudgetStatus]:
        return await statuses.of_budgets(rules.current().budgets, await redis_now_ms(store))

    return CrewOffice(
        clock=clock,
        rules=rules,
        crew=crew,
        keys=Desk(KeyStore(store, pepper(file))),
        statuses=standing,
        announce_reload=lambda: crew.tell(signal.SIGHUP),
        draining=draining,
        started_ms=clock.wall_ms(),
        log=log,
    )


def held_port(host: str, port: int) -> socket.socket:
    """A bound socket that never listens: it keeps the port ours while workers come and go, and gets no connection."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    held = socket.socket(family, socket.SOCK_STREAM)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    held.bind((host, port))
    return held

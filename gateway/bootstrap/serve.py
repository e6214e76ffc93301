"""`joulegate serve`: one process, or a supervisor of several; what signals mean; how it ends.

SIGTERM, SIGINT   readiness 503, stop accepting, finish streams for `drain_seconds`, settle, write records, exit 0
a second one      the same without waiting for streams: they are cut, and charged for what was sent; exit 1
SIGHUP            reload
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from gateway import __version__
from gateway.bootstrap.assemble import assemble
from gateway.bootstrap.counting import ready_counter
from gateway.bootstrap.settings import SettingsFile, read_settings
from gateway.ledger.embedded import EmbeddedValkey
from gateway.telemetry.logs import Log, adopt_logging, make_log

if TYPE_CHECKING:
    from gateway.bootstrap.process import Process

EXIT_CUT = 1
# Requests end by reference count: the collector finds next to nothing. At Python's 700 it walked for 60 to 80 us of
# each small request's 600 (two gateways under load in turn, 28 pairs, standard error 20); 50,000 save nothing more,
# and resident memory after 500 streams is the same to 1 MiB.
YOUNG_OBJECTS_MAX = 10_000


def serve(config: Path, env: Mapping[str, str], *, workers: int | None = None) -> int:
    """Serve until told to stop; returns the exit code. Raises JoulegateError when it can not start."""
    file = read_settings(config, env)
    assembly = assemble(file)
    log = make_log(sys.stderr)
    adopt_logging(log)
    open_files_limit()
    count = workers or file.settings.workers
    if count > 1:
        from gateway.bootstrap.supervisor import supervise  # needs this module

        with owned_redis(file) as redis_url:
            return uvloop.run(supervise(file, assembly, redis_url(), count, log))
    with owned_redis(file) as redis_url:
        from gateway.bootstrap.process import build  # with the vocabularies most of a start: while Valkey starts

        counter = ready_counter(assembly.snapshot)
        url = redis_url()
        return uvloop.run(_single(file, lambda: build(file, assembly, url, counter, log)))


async def _single(file: SettingsFile, build: Callable[[], Process]) -> int:
    settings = file.settings
    return await run(build(), port=settings.listen.port, admin_port=settings.admin.port)


async def run(
    process: Process, *, port: int, admin_port: int, admin_host: str | None = None, reuse_port: bool = False
) -> int:
    """Start a process, say where, serve until told to stop; returns the exit code."""
    stops = Stops()
    hear_reloads(process)
    try:
        ports = await process.start(port=port, admin_port=admin_port, admin_host=admin_host, reuse_port=reuse_port)
    except BaseException:
        await process.close()
        raise
    settle_memory()
    announce(ports, process.log)
    await stops.first.wait()
    process.log.info("stopping", signal=stops.name)
    stopping = asyncio.create_task(process.stop(process.file.settings.drain_seconds))
    hurry = asyncio.create_task(stops.second.wait())
    await asyncio.wait((stopping, hurry), return_when=asyncio.FIRST_COMPLETED)
    hurried = not stopping.done()
    if hurried:
        process.log.warning("hurried", signal=stops.name)
        await process.data.close()
    hurry.cancel()
    await stopping
    process.log.info("stopped")
    return EXIT_CUT if hurried else 0


class Stops:
    """The first and the second request to end. Needs a running loop."""

    def __init__(self) -> None:
        self.first, self.second = asyncio.Event(), asyncio.Event()
        self.name = ""
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._heard, number)

    def _heard(self, number: signal.Signals) -> None:
        self.name = number.name
        (self.second if self.first.is_set() else self.first).set()


def hear_reloads(process: Process) -> None:
    """SIGHUP reads everything again; one at a time, told in the log and by the metric."""

    def reload() -> None:
        process.tasks.append(asyncio.get_running_loop().create_task(_reload(process)))

    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload)


async def _reload(process: Process) -> None:
    await process.rules.reload()


def announce(ports: Mapping[str, int], log: Log, *, workers: Sequence[int] = ()) -> None:
    """The one line on stdout: ready, and where. workers: their process ids."""
    ready = {"event": "ready", **ports, "pid": os.getpid(), "version": __version__}
    print(json.dumps({**ready, "workers": list(workers)} if workers else ready), flush=True)
    log.info("ready", **ports, pid=os.getpid(), version=__version__, workers=len(workers) or None)


def settle_memory() -> None:
    """What was made at start lives as long as we do: the collector need not walk it again at each request."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS_MAX)


def open_files_limit() -> None:
    """A stream is two sockets; the usual soft limit of 1,024 would be 500 streams."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@contextlib.contextmanager
def owned_redis(file: SettingsFile) -> Iterator[Callable[[], str]]:
    """The Redis of the settings, or an embedded one that is ours: a second gateway on its directory is refused.

    Yields what waits until it answers, and says where.
    """
    given = file.settings.redis.url
    if given is not None:
        yield given.get_secret_value
        return
    file.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    valkey = EmbeddedValkey(file.data_dir)
    valkey.launch()
    try:
        yield valkey.answering
    finally:
        valkey.stop()

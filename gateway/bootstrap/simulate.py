"""Runs one simulated backend as a process: `python -m gateway.bootstrap.simulate --name cheap --port 0`.

Prints one JSON line, {"name", "port", "pid"}, when it listens; SIGTERM ends it; on Linux it dies with its parent.
It stands here, and not beside the server, because it needs the token counter of another room.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import dataclasses
import json
import os
import signal
import sys
from collections.abc import Sequence

import uvloop

from gateway.backends.simulated import SimulatedServer, SimulatedSettings
from gateway.bootstrap.clock import SystemClock
from gateway.feeds.tokens import Counter

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, listen, serve until told to stop."""
    options = _parser().parse_args(arguments)
    _die_with_parent()
    given = vars(options)
    named = {field.name for field in dataclasses.fields(SimulatedSettings)}
    given["models"] = tuple(options.models)
    settings = SimulatedSettings(**{name: value for name, value in given.items() if name in named})
    uvloop.run(_serve(settings, options.host, options.port))


async def _serve(settings: SimulatedSettings, host: str, port: int) -> None:
    counter = Counter()
    counter.warm()  # so that the first request is as fast as the next
    server = SimulatedServer(settings, counter=counter, clock=SystemClock())
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    try:
        bound = await server.start(host, port)
        print(json.dumps({"name": settings.name, "port": bound, "pid": os.getpid()}), flush=True)
        await stopped.wait()
    finally:
        await server.stop()
        counter.close()


def _die_with_parent() -> None:
    """Whoever starts us may be killed without a chance to end us. Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def _parser() -> argparse.ArgumentParser:
    usual = SimulatedSettings()
    parser = argparse.ArgumentParser(prog="python -m gateway.bootstrap.simulate", description=__doc__)
    add = parser.add_argument
    add("--name", default=usual.name)
    add("--host", default="127.0.0.1")
    add("--port", type=int, default=0, help="0: any free one")
    add("--model", dest="models", nargs="*", type=str, default=[], help="names it answers to; none: any")
    add("--ttft-base-ms", type=float, default=usual.ttft_base_ms)
    add("--ttft-per-1k-input-ms", type=float, default=usual.ttft_per_1k_input_ms)
    add("--tpot-base-ms", type=float, default=usual.tpot_base_ms)
    add("--tpot-per-active-ms", type=float, default=usual.tpot_per_active_ms)
    add("--concurrent-max", type=int, default=usual.concurrent_max)
    add("--queue-max", type=int, default=usual.queue_max)
    add("--output-tokens", type=int, default=usual.output_tokens, help="typical length of an answer nobody bounds")
    add("--seed", type=int, default=usual.seed)
    add("--controls", action="store_true", help="allow POST /simulate, from this machine only")
    return parser


if __name__ == "__main__":
    main()

"""Processes that we start, each of which says in one JSON line when it is ready, and which die with us."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from gateway.domain.faults import JoulegateError
from gateway.ledger.embedded import LAUNCHER

READY_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 45.0  # a gateway drains up to 30 s by default


class ChildFailed(JoulegateError):
    """A process of ours ended before it was ready, or never said so."""


class Child:
    """One such process. Ctrl-C does not reach it: its parent decides when it ends."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, ready: Mapping[str, object]) -> None:
        self.name = name
        self.ready = ready
        self._process = process

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def port(self, name: str = "port") -> int:
        """A port that it announced."""
        port = self.ready[name]
        if not isinstance(port, int):
            raise ChildFailed(f"{self.name} announced no {name}")
        return port

    def tell(self, number: signal.Signals) -> None:
        """Send it a signal, if it still runs."""
        if self._process.returncode is None:
            self._process.send_signal(number)

    async def ended(self) -> int:
        """Its exit code, once it has ended."""
        return await self._process.wait()

    async def stop(self, seconds: float = STOP_SECONDS_MAX) -> int:
        """SIGTERM, and SIGKILL if that is not heard in time; returns its exit code."""
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                return await asyncio.wait_for(self._process.wait(), seconds)
            except TimeoutError:
                self._process.kill()
        return await self._process.wait()


async def start(
    name: str, arguments: Sequence[str], *, log: Path | None, env: Mapping[str, str] | None = None
) -> Child:
    """Run `python -m ARGUMENTS`; returns when its first line of JSON is here. `log`: where its stderr goes; None: ours.

    Raises ChildFailed.
    """
    with contextlib.nullcontext() if log is None else log.open("ab") as errors:
        process = await asyncio.create_subprocess_exec(
            *_launcher(),
            sys.executable,
            "-m",
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            env=None if env is None else dict(env),
            start_new_session=True,
        )
    try:
        ready = await asyncio.wait_for(_first_json(process), READY_SECONDS_MAX)
    except (TimeoutError, EOFError):
        if process.returncode is None:
            process.kill()
        raise ChildFailed(f"{name} did not start" + ("; see above" if log is None else f":\n{_tail(log)}")) from None
    return Child(name, process, ready)


async def _first_json(process: asyncio.subprocess.Process) -> Mapping[str, object]:
    """The first line of JSON on its stdout. Raises EOFError when it closes without one."""
    if process.stdout is None:
        raise EOFError
    while line := await process.stdout.readline():
        if line.startswith(b"{"):
            ready: Mapping[str, object] = json.loads(line)
            return ready
    raise EOFError


def _tail(log: Path, lines: int = 15) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


def _launcher() -> Sequence[str]:
    """A step between us and the child that has the kernel end it when we are killed and can not. Linux only."""
    return (sys.executable, "-I", "-S", "-c", LAUNCHER, str(os.getpid())) if sys.platform == "linux" else ()

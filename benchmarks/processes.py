"""Starts servers, tells what they cost, and ends them by their pid."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

READY_SECONDS_MAX = 120.0
END_SECONDS_MAX = 20.0
STORE_NAMES = ("valkey", "redis")  # processes reported apart


@dataclass(frozen=True, slots=True)
class Spent:
    """CPU seconds (user + system) and resident MiB: of the server's own processes, and of its store's."""

    server_cpu: float
    store_cpu: float
    server_mib: float
    store_mib: float


@dataclass(slots=True)
class Server:
    """A server that runs, and everything it started."""

    process: asyncio.subprocess.Process
    ready: dict[str, object]  # the JSON line it printed

    def spent(self) -> Spent:
        """Now, over all its processes that live."""
        cpu, mib = {True: 0.0, False: 0.0}, {True: 0.0, False: 0.0}
        for pid in family(self.process.pid):
            with contextlib.suppress(OSError):  # ended in between
                store = name_of(pid).startswith(STORE_NAMES)
                cpu[store] += cpu_seconds(pid)
                mib[store] += resident_mib(pid)
        return Spent(cpu[False], cpu[True], mib[False], mib[True])


@contextlib.asynccontextmanager
async def running(
    command: Sequence[str], *, env: Mapping[str, str] | None = None, log: Path | None = None, says_ready: bool = True
) -> AsyncIterator[Server]:
    """Start it, wait for its one line of JSON, and end it by SIGTERM (then SIGKILL) on the way out."""
    log_file = (log or Path(os.devnull)).open("ab")
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=log_file, env={**os.environ, **(env or {})}
    )
    try:
        ready = await _ready_line(process, command, log) if says_ready else {}
        yield Server(process, ready)
    finally:
        log_file.close()
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(process.wait(), END_SECONDS_MAX)
            except TimeoutError:
                process.kill()
                await process.wait()


async def _ready_line(
    process: asyncio.subprocess.Process, command: Sequence[str], log: Path | None
) -> dict[str, object]:
    assert process.stdout is not None
    deadline = time.monotonic() + READY_SECONDS_MAX
    while True:
        line = await asyncio.wait_for(process.stdout.readline(), deadline - time.monotonic())
        if not line:
            why = log.read_text(errors="replace")[-2000:] if log else ""
            raise RuntimeError(f"ended before it was ready: {' '.join(command)}\n{why}")
        with contextlib.suppress(json.JSONDecodeError):
            ready = json.loads(line)
            if isinstance(ready, dict):
                return ready


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                after_name = (entry / "stat").read_text().rpartition(")")[2].split()
                parents.setdefault(int(after_name[1]), []).append(int(entry.name))
    found = [pid]
    for known in found:
        found.extend(parents.get(known, ()))
    return found


def name_of(pid: int) -> str:
    """The command's name, as the kernel has it."""
    return Path(f"/proc/{pid}/comm").read_text().strip()


def cpu_seconds(pid: int) -> float:
    """User + system of all its threads: what /proc/PID/stat holds, in nanoseconds instead of ticks of 10 ms."""
    return time.clock_gettime((~pid << 3) | 2)  # CPUCLOCK_SCHED of that process; see clock_getcpuclockid(3)


def resident_mib(pid: int) -> float:
    """Resident memory."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

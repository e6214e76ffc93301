"""Child processes of tests: started with output detached, ended by pid, whatever the test does."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

PATIENCE_S = 60.0
CHECKOUT = Path(__file__).parents[2]


@contextlib.contextmanager
def running(
    args: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None
) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, Any]]]:
    """Start `python args...`, wait for its one JSON line on stdout, and end it on the way out."""
    with log.open("ab") as errors:
        process = subprocess.Popen(
            [sys.executable, *args],
            stdout=subprocess.PIPE,
            stderr=errors,
            stdin=subprocess.DEVNULL,
            cwd=CHECKOUT,
            env={**os.environ, **(env or {})},
        )
    try:
        yield process, ready_line(process, log)
    finally:
        end(process)
        if process.stdout is not None:
            process.stdout.close()


def ready_line(process: subprocess.Popen[bytes], log: Path) -> dict[str, Any]:
    """The JSON line a server prints when it is ready; its log in the error when it is not."""
    assert process.stdout is not None
    until, line = time.monotonic() + PATIENCE_S, b""
    while time.monotonic() < until:
        readable, _, _ = select.select([process.stdout], [], [], 0.2)
        if readable:
            line = process.stdout.readline()
            if line.startswith(b"{"):
                return json.loads(line)  # type: ignore[no-any-return]
        if process.poll() is not None:
            break
    raise AssertionError(f"{process.args} did not get ready (exit {process.poll()}): {log.read_text()[-4000:]}")


def end(process: subprocess.Popen[bytes], seconds: float = 20.0) -> int:
    """Ask it to stop, insist if it does not; returns its exit status."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    return process.returncode


def cpu_seconds(pid: int) -> float:
    """User plus system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

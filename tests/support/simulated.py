"""Simulated backends of tests: real processes, real sockets, faults on request."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.processes import end, running


@dataclass(frozen=True)
class Simulated:
    """One running simulated backend."""

    name: str
    port: int
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def control(self, **fault: object) -> None:
        """Inject a fault, or change one."""
        body = json.dumps(fault).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/simulate", data=body, headers={"content-type": "application/json"}
        )
        urllib.request.urlopen(request, timeout=10).read()

    def counters(self) -> dict[str, int]:
        """Its own token counters."""
        text = urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=10).read().decode()
        return {
            name: int(float(value))
            for name, value in re.findall(r"^simulated_(\w+?)(?:\{[^}]*\})? ([\d.e+]+)$", text, re.MULTILINE)
        }

    def die(self) -> None:
        """End it for good."""
        end(self.process)


@contextlib.contextmanager
def simulated(name: str, directory: Path, **options: float) -> Iterator[Simulated]:
    """A simulated backend with controls; `ttft_base_ms=5` becomes `--ttft-base-ms 5`."""
    flags = [part for key, value in options.items() for part in ("--" + key.replace("_", "-"), str(value))]
    args = ["-m", "gateway.bootstrap.simulate", "--name", name, "--port", "0", "--controls", *flags]
    with running(args, log=directory / f"{name}.log") as (process, ready):
        yield Simulated(name, ready["port"], process)

"""A real Prometheus on a free port, ended by pid; and promtool."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

HOW_TO_GET_IT = "needs Prometheus and promtool: apt-get install prometheus"
PATIENCE_S = 30.0
STARTS_MAX = 3  # another process may take the free port between our look and its start


@dataclass(frozen=True)
class Series:
    """One series of an answer: its labels and its values, oldest first."""

    labels: dict[str, str]
    values: tuple[float, ...]


@dataclass(frozen=True)
class Prometheus:
    """A running server."""

    url: str
    pid: int

    def query(self, expr: str) -> list[Series]:
        """An instant query, now."""
        answer = self.get("query", query=expr)
        if answer["resultType"] == "scalar":
            return [Series({}, (float(answer["result"][1]),))]
        return [Series(one["metric"], (float(one["value"][1]),)) for one in answer["result"]]

    def query_range(self, expr: str, *, seconds: float, step_s: float) -> list[Series]:
        """A range query over the last `seconds`."""
        now = time.time()
        answer = self.get("query_range", query=expr, start=now - seconds, end=now, step=step_s)
        return [Series(one["metric"], tuple(float(value) for _, value in one["values"])) for one in answer["result"]]

    def value(self, expr: str) -> float:
        """The one value of an instant query."""
        (series,) = self.query(expr)
        return series.values[0]

    def label_values(self, metric: str, label: str) -> list[str]:
        """Values of a label on a metric."""
        values = self.get(f"label/{label}/values", **{"match[]": metric})
        assert isinstance(values, list)
        return values

    def wait_for(self, expr: str, wanted: Callable[[float], bool]) -> None:
        """Wait until the query's first value is as wanted."""
        until = time.monotonic() + PATIENCE_S
        seen: list[Series] = []
        while time.monotonic() < until:
            seen = self.query(expr)
            if seen and wanted(seen[0].values[-1]):
                return
            time.sleep(0.1)
        raise AssertionError(f"{expr} did not become as wanted in {PATIENCE_S} s; last seen: {seen}")

    def get(self, path: str, **parameters: object) -> Any:
        """`data` of an API answer; Prometheus' own words when it refuses."""
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            return json.loads(urllib.request.urlopen(url, timeout=10).read())["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{parameters}: {error.read().decode()}") from None


@contextlib.contextmanager
def prometheus(directory: Path, targets: Sequence[str], *, interval: str = "500ms") -> Iterator[Prometheus]:
    """A server that scrapes `targets` (host:port, at /metrics), its data in `directory`."""
    program = tool("prometheus")
    directory.mkdir(parents=True, exist_ok=True)
    config = directory / "prometheus.yml"
    config.write_text(
        json.dumps(
            {
                "global": {"scrape_interval": interval, "scrape_timeout": interval},
                "scrape_configs": [{"job_name": "joulegate", "static_configs": [{"targets": list(targets)}]}],
            }
        )
    )
    process, url = start(program, config, directory)
    try:
        yield Prometheus(url, process.pid)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def start(program: str, config: Path, directory: Path) -> tuple[subprocess.Popen[bytes], str]:
    """Start it and wait until it is ready."""
    log = directory / "prometheus.log"
    for _ in range(STARTS_MAX):
        port = free_port()
        with log.open("ab") as output:
            process = subprocess.Popen(
                [
                    program,
                    f"--config.file={config}",
                    f"--storage.tsdb.path={directory / 'tsdb'}",
                    f"--web.listen-address=127.0.0.1:{port}",
                    "--log.level=warn",
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        url = f"http://127.0.0.1:{port}"
        if ready(process, url):
            return process, url
        process.kill()
        process.wait()
    raise AssertionError(f"Prometheus did not start: {log.read_text()[-2000:]}")


def ready(process: subprocess.Popen[bytes], url: str) -> bool:
    """Whether it became ready; False if it ended or took too long."""
    until = time.monotonic() + PATIENCE_S
    while process.poll() is None and time.monotonic() < until:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(url + "/-/ready", timeout=2).close()
            return True
        time.sleep(0.05)
    return False


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def promtool(*args: str, stdin: bytes = b"") -> subprocess.CompletedProcess[str]:
    """Run promtool; its output, both streams, as text."""
    done = subprocess.run([tool("promtool"), *args], input=stdin, capture_output=True, timeout=60, check=False)
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def tool(name: str) -> str:
    """The program's path, or a skip that says how to get it."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(HOW_TO_GET_IT)
    return path

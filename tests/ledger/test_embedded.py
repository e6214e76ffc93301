from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from gateway.ledger.embedded import EmbeddedFailed, EmbeddedValkey, find_binary

OWNER = """
import sys, time
from pathlib import Path
from gateway.ledger.embedded import EmbeddedValkey
server = EmbeddedValkey(Path(sys.argv[1]))
server.start()
print(server.pid, flush=True)
time.sleep(600)
"""


def test_it_has_no_port_and_keeps_its_data_over_a_restart(tmp_path: Path) -> None:
    server = EmbeddedValkey(tmp_path)
    with server:
        assert _ask(server.url, "SET k kept") == "+OK"
        assert _ask(server.url, "CONFIG GET port").splitlines()[-1] == "0"
    with server:
        assert _ask(server.url, "GET k").splitlines()[-1] == "kept"


def test_a_second_owner_is_told_who_the_first_is(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path), pytest.raises(EmbeddedFailed, match=f"pid {os.getpid()}.*another data_dir"):
        EmbeddedValkey(tmp_path).start()


def test_commands_find_the_server_that_runs_and_nothing_when_none_does(tmp_path: Path) -> None:
    assert EmbeddedValkey.find(tmp_path) is None
    with EmbeddedValkey(tmp_path) as server:
        assert EmbeddedValkey.find(tmp_path) == server.url
    assert EmbeddedValkey.find(tmp_path) is None


def test_a_deep_data_directory_gets_its_socket_elsewhere_and_leaves_nothing_there(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 120)
    with EmbeddedValkey(deep) as server:
        path = Path(server.url.removeprefix("unix://"))
        assert len(os.fsencode(path)) <= 103
        assert _ask(server.url, "PING") == "+PONG"
    assert not path.parent.exists()


def test_it_dies_with_an_owner_that_is_killed_and_the_next_owner_finds_what_was_written(tmp_path: Path) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path)], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    try:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        url = EmbeddedValkey.find(tmp_path)
        assert url is not None
        assert _ask(url, "SET k kept") == "+OK"
    finally:
        owner.send_signal(signal.SIGKILL)
        owner.wait()
        assert owner.stdout is not None
        owner.stdout.close()

    with EmbeddedValkey(tmp_path) as server:  # waits until the old one is gone
        assert not _runs(pid)
        assert _ask(server.url, "GET k").splitlines()[-1] == "kept"


def test_a_server_that_can_not_start_shows_the_end_of_its_log(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedFailed, match="ended at once"):
        EmbeddedValkey(tmp_path, binary=Path("/bin/false")).start()

    assert EmbeddedValkey.find(tmp_path) is None


def test_it_is_started_from_the_main_thread_only(tmp_path: Path) -> None:
    failures: list[str] = []

    def start() -> None:
        try:
            EmbeddedValkey(tmp_path).start()
        except EmbeddedFailed as failed:
            failures.append(str(failed))

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()

    assert "main thread" in failures[0]


def test_stopping_twice_is_stopping_once(tmp_path: Path) -> None:
    server = EmbeddedValkey(tmp_path)
    server.start()
    pid = server.pid
    server.stop()
    server.stop()

    assert not _runs(pid)
    with pytest.raises(EmbeddedFailed, match="not running"):
        _ = server.url


def test_its_files_are_for_its_owner_alone(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path):
        assert (tmp_path / "valkey").stat().st_mode & 0o077 == 0


def test_the_binary_comes_with_the_package() -> None:
    assert os.access(find_binary(), os.X_OK)


def _ask(url: str, command: str) -> str:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(url.removeprefix("unix://"))
        connection.sendall(command.encode() + b"\r\n")
        return connection.recv(4096).decode().strip()


def _runs(pid: int) -> bool:
    """A zombie does not run; whoever inherited it reaps it in its own time."""
    for _ in range(100):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            return False
        if state == "Z":
            return False
        time.sleep(0.01)
    return True

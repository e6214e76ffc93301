"""Secrets that the gateway makes for itself."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

from gateway.bootstrap.secrets_file import kept_secret


def test_a_secret_is_made_once_for_its_own_user_only(tmp_path: Path) -> None:
    path = tmp_path / "data" / "key_pepper"

    first, again = kept_secret(path), kept_secret(path)

    assert first == again
    assert len(first) == 64
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [found.name for found in path.parent.iterdir()] == ["key_pepper"]


def test_processes_that_start_at_once_agree(tmp_path: Path) -> None:
    path, seen = tmp_path / "key_pepper", []
    threads = [threading.Thread(target=lambda: seen.append(kept_secret(path))) for _ in range(1)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {*seen, kept_secret(path)} == {path.read_bytes().strip()}

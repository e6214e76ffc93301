"""Secrets that the gateway makes for itself when nobody gave it one, readable by its own user only."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from gateway.bootstrap.settings import SettingsFile

SECRET_BYTES = 32


def pepper(file: SettingsFile) -> bytes:
    """What keys' digests are made with: from the settings, or made once beside the embedded Valkey that holds them."""
    given = file.settings.key_pepper
    if given is not None:
        return given.get_secret_value().encode()
    return kept_secret(file.data_dir / "key_pepper")


def kept_secret(path: Path) -> bytes:
    """The secret in `path`, made there if it is missing. Two processes that start at once agree on one."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        return path.read_bytes().strip()
    except FileNotFoundError:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_hex(SECRET_BYTES).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
    try:
        os.link(draft, path)  # refuses if another process was first, which a rename would not
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return path.read_bytes().strip()

"""What a command does with Redis, when there is none: it says so, and does not try for long."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from gateway.bootstrap.store import COMMAND_SECONDS_MAX, open_store
from gateway.domain.faults import LedgerUnavailable
from tests.bootstrap.files import ENV, SETTINGS, written

PEPPER = "a-pepper-for-tests-only-0123456789abcdef"


async def test_a_dead_redis_is_named_and_not_waited_for(tmp_path: Path) -> None:
    with socket.socket() as bound:  # bound and not listening: nobody else gets the port, and it refuses
        bound.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{bound.getsockname()[1]}"
        redis = f'data_dir: ./data\nkey_pepper: "{PEPPER}"\nredis: {{url: "redis://{where}/0"}}'
        config = written(tmp_path, settings=SETTINGS.replace("data_dir: ./data", redis))
        began = time.monotonic()

        async with open_store(config, ENV) as store:
            with pytest.raises(LedgerUnavailable, match=f"no connection to Redis at {where}"):
                await store.now_ms()

    assert time.monotonic() - began < COMMAND_SECONDS_MAX / 2

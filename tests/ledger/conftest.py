"""The servers the ledger is tested on: the embedded Valkey, and Debian's Redis where it is installed."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from gateway.ledger.embedded import EmbeddedValkey
from tests.ledger.house import MemoryWorld, RedisWorld, World, redis_world


@pytest.fixture(scope="session")
def valkey_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with EmbeddedValkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server.url


@pytest.fixture(scope="session")
def debian_redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    binary = shutil.which("redis-server")
    if binary is None:
        pytest.skip("no redis-server: apt-get install redis-server")
    with EmbeddedValkey(tmp_path_factory.mktemp("redis"), binary=Path(binary)) as server:
        yield server.url


@pytest.fixture
async def on_valkey(valkey_url: str) -> AsyncIterator[RedisWorld]:
    async with redis_world(valkey_url) as world:
        yield world


@pytest.fixture(params=["memory", "valkey", pytest.param("redis", marks=pytest.mark.redis)])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    if request.param == "memory":
        yield MemoryWorld()
        return
    url = request.getfixturevalue("valkey_url" if request.param == "valkey" else "debian_redis_url")
    async with redis_world(url) as on_redis:
        yield on_redis

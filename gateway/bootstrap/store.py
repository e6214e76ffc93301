"""The Redis of a deployment, for commands: the one its settings name, or the embedded one of its data directory.

A gateway that runs holds the embedded Valkey's lock, and commands use its socket; otherwise the command starts the
server for itself, and stops it when done.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import RedisError

from gateway.bootstrap.secrets_file import pepper
from gateway.bootstrap.settings import SettingsFile, read_settings
from gateway.domain.faults import LedgerUnavailable
from gateway.ledger.embedded import EmbeddedValkey
from gateway.ledger.identities import KeyStore
from gateway.ledger.statuses import Statuses

COMMAND_SECONDS_MAX = 5.0


@dataclass(frozen=True, slots=True)
class Store:
    """What commands do with Redis."""

    file: SettingsFile
    redis: Redis
    keys: KeyStore
    statuses: Statuses

    async def now_ms(self) -> int:
        """Redis's own time, which windows are computed from."""
        return await redis_now_ms(self.redis)


async def redis_now_ms(redis: Redis) -> int:
    """Redis's clock, in milliseconds since 1970. Raises LedgerUnavailable."""
    try:
        seconds, micros = await redis.time()
    except (RedisError, OSError, TimeoutError) as failure:
        raise LedgerUnavailable(f"Redis does not answer: {failure}") from failure
    return int(seconds) * 1_000 + int(micros) // 1_000


@contextlib.asynccontextmanager
async def open_store(config: Path, env: Mapping[str, str]) -> AsyncIterator[Store]:
    """Connect for one command. Raises BadDocument, EmbeddedFailed or LedgerUnavailable."""
    file = read_settings(config, env)
    with redis_url(file) as url:
        redis = connect(url)
        try:
            yield Store(file, redis, KeyStore(redis, pepper(file)), Statuses(redis))
        finally:
            await redis.aclose()


@contextlib.contextmanager
def redis_url(file: SettingsFile) -> Iterator[str]:
    """Where this deployment's Redis is; an embedded one that nobody runs is run for as long as the block lasts."""
    given = file.settings.redis.url
    if given is not None:
        yield given.get_secret_value()
    elif (running := EmbeddedValkey.find(file.data_dir)) is not None:
        yield running
    else:
        with EmbeddedValkey(file.data_dir) as valkey:
            yield valkey.url


def connect(url: str, *, connections: int = 16) -> Redis:
    """A redis-py client for what is not on the hot path: keys, statuses, probes."""
    return Redis.from_url(
        url, socket_timeout=COMMAND_SECONDS_MAX, socket_connect_timeout=COMMAND_SECONDS_MAX, max_connections=connections
    )

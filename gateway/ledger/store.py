"""redis-py for what is not hot: keys, listings. Here lives how it is opened and how its errors are told."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from gateway.domain.faults import LedgerUnavailable

TIMEOUT_S: Final = 2.0


def open_redis(url: str) -> Redis:
    """A client that never repeats a command by itself (a lost reply would double it) and does not hang."""
    return Redis.from_url(
        url,
        decode_responses=False,
        retry=Retry(NoBackoff(), 0),
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
    )


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """A library's failures as LedgerUnavailable."""
    try:
        yield
    except (RedisError, OSError, TimeoutError) as failure:
        raise LedgerUnavailable(f"Redis does not answer: {failure}") from failure

"""redis-py's failures in the house's words."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from redis.exceptions import RedisError

from gateway.domain.faults import LedgerUnavailable


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Whatever keeps Redis from answering becomes LedgerUnavailable."""
    try:
        yield
    except (RedisError, OSError, TimeoutError) as failure:
        raise LedgerUnavailable(f"Redis does not answer: {failure}") from failure

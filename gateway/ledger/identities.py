"""Who a presented key belongs to: looked up in Redis once, then remembered, and followed within a second."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

from gateway.domain.faults import LedgerUnavailable
from gateway.domain.tenancy import Identity
from gateway.ledger.channel import ScriptChannel
from gateway.ledger.keys import VERSION, KeyConflict, KeyStore, NewKey, digest_of, read_identity, record_key

__all__ = ["KeyConflict", "KeyStore", "NewKey", "RedisIdentities"]

POLL_S: Final = 0.5
LOOK_UP_S: Final = 1.0  # a caller waits no longer for its key to be known, whatever the client's own patience
REMEMBERED: Final = 10_000
UNKNOWN_REMEMBERED: Final = 10_000
UNKNOWN_FOR_S: Final = 5.0
KEY_BYTES_MAX: Final = 512


class RedisIdentities:
    """Implements ports.Identities. `start` follows changes: at most half a second behind, while Redis answers.

    wall_ms: the ledger's time, for expiry. monotonic: seconds, for how long an unknown key is remembered as unknown.
    """

    def __init__(
        self, channel: ScriptChannel, pepper: bytes, *, wall_ms: Callable[[], int], monotonic: Callable[[], float]
    ):
        self._channel = channel
        self._pepper = pepper
        self._wall_ms = wall_ms
        self._monotonic = monotonic
        self._known: dict[str, tuple[bytes, Identity]] = {}
        self._unknown: dict[str, float] = {}
        self._version: bytes | None = None
        self._generation = 0
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to follow changes. Raises LedgerUnavailable."""
        await self.refresh()
        self._task = asyncio.get_running_loop().create_task(self._follow(), name="identities-follow")

    async def close(self) -> None:
        """Stop following. The channel is its owner's to close."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def find(self, key: bytes) -> Identity | Awaitable[Identity | None] | None:
        """The identity of a presented key, at once when it is remembered."""
        if len(key) > KEY_BYTES_MAX:
            return None
        digest = digest_of(self._pepper, key)
        known = self._known.get(digest)
        if known is not None and hmac.compare_digest(known[0], digest.encode()):
            return self._valid(known[1])
        if self._unknown.get(digest, 0.0) > self._monotonic():
            return None
        return self._look_up(digest)

    async def refresh(self) -> None:
        """Forget everything if any key has changed since the last look."""
        version = await self._get(VERSION)
        if version != self._version:
            self._version = version
            self._generation += 1
            self._known.clear()
            self._unknown.clear()

    async def _look_up(self, digest: str) -> Identity | None:
        generation = self._generation
        record = await self._get(record_key(digest))
        if record is None:
            if generation == self._generation:
                _make_room(self._unknown, UNKNOWN_REMEMBERED)
                self._unknown[digest] = self._monotonic() + UNKNOWN_FOR_S
            return None
        identity = read_identity(record)
        if generation == self._generation:  # else it may have changed while we asked
            _make_room(self._known, REMEMBERED)
            self._known[digest] = (digest.encode(), identity)
        return self._valid(identity)

    async def _get(self, key: str) -> bytes | None:
        try:
            async with asyncio.timeout(LOOK_UP_S):
                return cast(bytes | None, await self._channel.command("GET", key))
        except TimeoutError:
            raise LedgerUnavailable(f"no answer from Redis within {LOOK_UP_S:.0f} s") from None

    def _valid(self, identity: Identity) -> Identity | None:
        if identity.disabled or (identity.expires_ms is not None and identity.expires_ms <= self._wall_ms()):
            return None
        return identity

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(POLL_S)
            with contextlib.suppress(LedgerUnavailable):  # what is remembered stays good; budgets are refused anyway
                await self.refresh()


def _make_room(memory: dict[str, Any], most: int) -> None:
    """Forget the oldest tenth; dicts keep the order of insertion."""
    if len(memory) >= most:
        for digest in list(memory)[: most // 10]:
            del memory[digest]

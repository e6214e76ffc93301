"""What the ledger's tests are made of: worlds in which a ledger lives, and factories that say only what matters."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Protocol, cast

from gateway.domain.amounts import Amounts, Unit
from gateway.domain.budgets import Ask, Balance, Candidate, Counter, Denial, Hold, Stale, WindowSpan
from gateway.ledger.codec import prefix_of, standing_of, suffix_of
from gateway.ledger.ids import new_id
from gateway.ledger.memory import MemoryLedger
from gateway.ledger.redis import RedisLedger

TOTAL = WindowSpan("total", 0, None)
LEASE_MS = 60_000
START_MS = 1_795_400_000_000
_ROOTS = itertools.count()


class Ledger(Protocol):
    """ports.Ledger, and what every implementation shows beside it."""

    conflicts: int
    stale: int
    holds_expired: int

    def now_ms(self) -> int: ...
    async def reserve(self, ask: Ask) -> Hold | Denial | Stale: ...
    async def settle(
        self, hold: Hold, spent: Amounts, basis: str, *, summary: bytes = b"", alias: str | None = None
    ) -> bool: ...
    async def release(self, hold: Hold, reason: str) -> None: ...
    async def find(self, root: str, key_id: str, request_id: str) -> bytes | None: ...
    async def sweep(self) -> None: ...


class World:
    """A ledger, a root of its own, and time that can be made to pass."""

    def __init__(self, ledger: Ledger):
        self.ledger = ledger
        self.root = f"org{os.getpid()}-{next(_ROOTS)}"

    async def pass_ms(self, ms: int) -> None:
        raise NotImplementedError

    async def standing(self, counter: Counter) -> Balance:
        raise NotImplementedError

    def new_id(self, age_ms: int = 0) -> str:
        return new_id(self.ledger.now_ms() - age_ms, os.urandom(10))

    def ask(
        self,
        *counters: Counter,
        usd: int = 10,
        amounts: Amounts | None = None,
        request_id: str | None = None,
        attempt: int = 1,
        watermark: Amounts | None = None,
        lease_ms: int = LEASE_MS,
        candidates: Sequence[Candidate] = (),
    ) -> Ask:
        """One candidate unless `candidates` are given; a watermark of 1 nano-dollar."""
        only = Candidate("gpu-a/m", amounts or some(usd), counters)
        return Ask(
            root=self.root,
            request_id=request_id or self.new_id(),
            attempt=attempt,
            candidates=tuple(candidates) or (only,),
            watermark=watermark or some(1),
            lease_ms=lease_ms,
            key_id="k1",
        )

    async def hold(self, *counters: Counter, usd: int = 10, **more: object) -> Hold:
        """A hold that must be granted."""
        verdict = await self.ledger.reserve(self.ask(*counters, usd=usd, **more))  # type: ignore[arg-type]
        assert isinstance(verdict, Hold)
        return verdict

    async def usd(self, counter: Counter) -> tuple[int, int]:
        """Nano-dollars (spent, held)."""
        stood = await self.standing(counter)
        return stood.spent[Unit.USD_NANOS], stood.held[Unit.USD_NANOS]


class MemoryWorld(World):
    def __init__(self) -> None:
        self.time_ms = START_MS
        self.memory = MemoryLedger(lambda: self.time_ms)
        super().__init__(self.memory)

    async def pass_ms(self, ms: int) -> None:
        self.time_ms += ms

    async def standing(self, counter: Counter) -> Balance:
        return self.memory.standing(self.root, counter)


class RedisWorld(World):
    """Redis's own clock can not be turned, so `pass_ms` waits for it: milliseconds only."""

    def __init__(self, ledger: RedisLedger):
        self.redis_ledger = ledger
        super().__init__(ledger)

    async def pass_ms(self, ms: int) -> None:
        assert ms <= 50, "this clock is real"
        until = await self._redis_ms() + ms
        while await self._redis_ms() <= until:
            await asyncio.sleep(0.001)

    async def standing(self, counter: Counter) -> Balance:
        key = f"{prefix_of(self.root)}b:{suffix_of(counter)}"
        value = cast(bytes | None, await self.redis_ledger.channel.command("GET", key))
        return Balance(counter, *standing_of(value))

    async def _redis_ms(self) -> int:
        seconds, micros = cast(list[bytes], await self.redis_ledger.channel.command("TIME"))
        return int(seconds) * 1_000 + int(micros) // 1_000


@contextlib.asynccontextmanager
async def redis_world(url: str, *, deadline_s: float = 5.0) -> AsyncIterator[RedisWorld]:
    """A patient one: a test machine under load is not a ledger that is away."""
    ledger = RedisLedger(url, deadline_s=deadline_s, sweep_s=3_600)
    await ledger.start()
    try:
        yield RedisWorld(ledger)
    finally:
        await ledger.close()


def some(usd: int, *, energy: int | None = 0, carbon: int | None = 0, tokens: int = 0, requests: int = 1) -> Amounts:
    return Amounts(usd, energy, carbon, tokens, requests)


def a_counter(key: str = "budget:b", *, usd: int | None = None, name: str = "b", **limits: int) -> Counter:
    """Limits by unit name; a total window."""
    chosen = dict(limits) if usd is None else {"usd_nanos": usd, **limits}
    return Counter(key, TOTAL, tuple((Unit(unit), limit) for unit, limit in chosen.items()), name)


def socket_of(url: str) -> Path:
    return Path(url.removeprefix("unix://"))

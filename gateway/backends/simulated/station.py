"""Slots, queue and pace: how long a simulated model takes, under the load it has."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.backends.simulated.books import Books
from gateway.backends.simulated.faults import FaultBox
from gateway.backends.simulated.settings import SimulatedSettings


class Full(Exception):
    """All slots are taken and the queue is full."""


class Station:
    """Gives out slots first come, first served, and says how long things take."""

    def __init__(self, settings: SimulatedSettings, books: Books, faults: FaultBox) -> None:
        self._settings = settings
        self._books = books
        self._faults = faults
        self._slots = asyncio.Semaphore(settings.concurrent_max)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Holds a slot. Raises Full where even the queue has no place."""
        if self._slots.locked() and self._books.requests_deferred >= self._settings.queue_max:
            raise Full
        self._books.requests_deferred += 1
        try:
            await self._slots.acquire()
        finally:
            self._books.requests_deferred -= 1
        self._books.requests_processing += 1
        self._books.requests_total += 1
        try:
            yield
        finally:
            self._books.requests_processing -= 1
            self._slots.release()

    def first_token_s(self, uncached_tokens: int) -> float:
        """Seconds until the first token."""
        pace = self._settings
        return self._slowed(pace.ttft_base_ms + pace.ttft_per_1k_input_ms * uncached_tokens / 1_000)

    def token_s(self) -> float:
        """Seconds from one token to the next, as loaded as we are now."""
        others = max(0, self._books.requests_processing - 1)
        return self._slowed(self._settings.tpot_base_ms + self._settings.tpot_per_active_ms * others)

    def _slowed(self, ms: float) -> float:
        return ms * self._faults.now.slowdown / 1_000

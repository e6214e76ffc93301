"""Money moves in two steps: reserve may refuse, settle always books."""

from __future__ import annotations

from typing import Protocol

from gateway.domain.amounts import Amounts
from gateway.domain.budgets import Ask, Denial, Hold, Stale


class Ledger(Protocol):
    """Holds and counters. Each step is safe to repeat; a hold ends once. All raise LedgerUnavailable when away."""

    def now_ms(self) -> int:
        """The ledger's time (Redis time, sampled): windows and ids are computed from it, never from our own clock."""
        ...

    async def reserve(self, ask: Ask) -> Hold | Denial | Stale:
        """Hold the first of at most three candidates whose every limit fits, atomically over all its counters."""
        ...

    async def settle(
        self, hold: Hold, spent: Amounts, basis: str, *, summary: bytes = b"", alias: str | None = None
    ) -> bool:
        """Book `spent` and end the hold, even above what was held. False: it had ended differently (conflict, counted).

        summary: JSON kept with the row for 15 minutes, answered by `find`; alias: a second id to find it by.
        """
        ...

    async def release(self, hold: Hold, reason: str) -> None:
        """End a hold that cost nothing: no byte reached an upstream, or its answer is not billed."""
        ...

    async def find(self, root: str, key_id: str, request_id: str) -> bytes | None:
        """The summary of a request of that key settled in the last 15 minutes."""
        ...

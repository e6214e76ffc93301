"""Where budgets stand: read from Redis every moment, so that a scrape waits for nobody."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence

from gateway.bootstrap.core import ClaimsOf
from gateway.domain.budgets import BudgetStatus
from gateway.domain.catalog import Snapshot
from gateway.domain.faults import LedgerUnavailable
from gateway.domain.tenancy import Identity
from gateway.ledger.statuses import Statuses

REFRESH_S = 1.0
SHARE_MAX = 0.1  # of the time may go into reading: with very many counters the figures are older


class Standing:
    """Statuses of the budgets in force. `follow` refreshes until cancelled; while Redis is away the last ones stay."""

    def __init__(
        self,
        *,
        statuses: Statuses,
        snapshot: Callable[[], Snapshot],
        claims: ClaimsOf,
        now_ms: Callable[[], int],
    ) -> None:
        self._statuses = statuses
        self._snapshot = snapshot
        self._claims = claims
        self._now_ms = now_ms
        self._newest: Sequence[BudgetStatus] = ()

    def newest(self) -> Sequence[BudgetStatus]:
        """As of the last refresh."""
        return self._newest

    async def read(self) -> Sequence[BudgetStatus]:
        """As of now. Raises LedgerUnavailable."""
        self._newest = await self._statuses.of_budgets(self._snapshot().budgets, self._now_ms())
        return self._newest

    async def of(self, identity: Identity) -> Sequence[BudgetStatus]:
        """The budgets and limits of one key. Raises LedgerUnavailable."""
        claims = self._claims(self._snapshot())
        counters = claims.counters(identity, "", None, self._now_ms())
        return await self._statuses.of_counters(claims.root(identity), counters)

    async def follow(self) -> None:
        """Refresh until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            with contextlib.suppress(LedgerUnavailable):  # /readyz tells; old figures are better than none
                await self.read()
            await asyncio.sleep(max(REFRESH_S, (loop.time() - began) / SHARE_MAX))

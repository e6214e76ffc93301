"""Whether traffic should come here: the store answers, records can be written, at least one backend takes requests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from gateway.domain.catalog import Snapshot
from gateway.domain.faults import LedgerUnavailable
from gateway.policy.breaker import Phase
from gateway.policy.router import Router
from gateway.ports import Recorder


class Readiness:
    """Named checks; True is good. `ask_store` raises LedgerUnavailable when the store is away."""

    def __init__(
        self,
        *,
        router: Router,
        snapshot: Callable[[], Snapshot],
        recorder: Recorder,
        ask_store: Callable[[], Awaitable[object]],
    ) -> None:
        self._router = router
        self._snapshot = snapshot
        self._recorder = recorder
        self._ask_store = ask_store

    async def checks(self) -> Mapping[str, bool]:
        """All of them, now."""
        return {
            "store": await self._store_answers(),
            "records": self._recorder.healthy(),
            "backends": any(self.is_up(name) for name in self._snapshot().backends),
        }

    def is_up(self, backend: str) -> bool:
        """Whether its breaker lets requests through."""
        return self._router.breaker(backend) is not Phase.OPEN

    async def _store_answers(self) -> bool:
        try:
            await self._ask_store()
        except LedgerUnavailable:
            return False
        return True

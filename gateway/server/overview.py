"""What `GET /admin/v1/overview` answers and the page draws: shapes, and the short history behind the charts.

Whoever fills an Overview gives totals since the process began; the page and `History` take differences. Unknown is
null, never zero.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, TypedDict

from gateway.domain.faults import LedgerUnavailable

SAMPLE_SECONDS: Final = 3.0
SAMPLES_MAX: Final = 200  # ten minutes
LOG = logging.getLogger("joulegate.server")


class Totals(TypedDict):
    """Since the process began. saved_usd: this traffic on the dearest member of each model, minus what it cost."""

    requests: int
    served: int
    refused: int
    usd: float
    saved_usd: float
    joules: float
    grams: float
    input_tokens: int
    output_tokens: int
    sla_met: int
    sla_missed: int


class BudgetView(TypedDict):
    """One declared budget and unit. unit: usd, joules, grams, tokens or requests."""

    name: str
    counter: str
    unit: str
    limit: float
    spent: float
    held: float
    mode: str
    resets_ms: int | None


class BackendView(TypedDict):
    """One backend now. state: up, degraded (its breaker probes), down or drained. watts: modelled, null if unknown."""

    name: str
    state: str
    in_flight: int
    concurrent_max: int
    watts: float | None
    ttft_ms: float | None
    requests: int
    models: list[str]
    simulated: bool


class RequestView(TypedDict):
    """One ended request."""

    request_id: str
    at_ms: int
    team: str
    model: str
    backend: str | None
    status: int
    outcome: str
    usd: float | None
    joules: float | None
    output_tokens: int
    ttft_ms: float | None
    duration_ms: float
    reason: str | None


class Overview(TypedDict):
    """Everything the page shows. Times are UTC milliseconds."""

    at_ms: int
    since_ms: int
    version: str
    policy_version: str
    draining: bool
    streams: int
    totals: Totals
    budgets: list[BudgetView]
    backends: list[BackendView]
    requests: list[RequestView]


class Sample(TypedDict):
    """One point of the charts."""

    at_ms: int
    totals: Totals


class Seen(Overview):
    """An Overview and the samples before it, oldest first."""

    history: list[Sample]


class History:
    """Samples the overview every few seconds, so that a page opened late shows what was."""

    def __init__(self, overview: Callable[[], Awaitable[Overview]]):
        self._overview = overview
        self._samples: deque[Sample] = deque(maxlen=SAMPLES_MAX)

    async def seen(self) -> Seen:
        """The overview now, with its history."""
        now = await self._overview()
        return Seen(**now, history=list(self._samples))

    async def take(self) -> None:
        """Keep one sample."""
        now = await self._overview()
        self._samples.append(Sample(at_ms=now["at_ms"], totals=now["totals"]))

    async def run(self) -> None:
        """Sample until cancelled; a store that is away, or any other failure, leaves a gap and not a dead chart."""
        while True:
            try:
                await self.take()
            except LedgerUnavailable:
                LOG.debug("no sample for the page: the ledger does not answer")
            except Exception:
                LOG.exception("no sample for the page")
            await asyncio.sleep(SAMPLE_SECONDS)

"""A small town of users: enough of everything a gateway meets that each metric has something to say."""

from __future__ import annotations

import random
from dataclasses import replace

from gateway.domain.amounts import Unit
from gateway.domain.budgets import Budget, BudgetStatus, WindowKind, WindowSpan
from gateway.domain.record import Outcome
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.views import BackendView, RecorderView, SiteView, Views
from tests.support.records import a_record, a_snapshot, a_usage, amounts, an_attempt

MONTH = WindowSpan("2026-11", 1_793_491_200_000, 1_796_083_200_000)
UNITS = {Unit.USD_NANOS: 10**9, Unit.ENERGY_MJ: 10**6, Unit.CARBON_UG: 10**6, Unit.TOKENS: 10**3, Unit.REQUESTS: 1}
DECLARED = (
    Budget("support-month", {"team": "support"}, {unit: 250 * per for unit, per in UNITS.items()}, WindowKind.MONTH),
    Budget("each-key", {"key": "*"}, {Unit.USD_NANOS: 10**9}, WindowKind.DAY),
)


class Town:
    """Feeds a `Metrics`, and keeps the sums by itself."""

    def __init__(self) -> None:
        self._chance = random.Random(7)
        self._lives = 0
        self.usd_nanos = self.tokens = self.sla_met = self.sla_judged = 0
        self.metrics = Metrics(
            snapshot=a_snapshot("cheap", "dear", models=("chat", "code"), budgets=DECLARED),
            version="0.1.0",
            views=Views(
                backends=lambda: (
                    BackendView("cheap", True, 3, "closed", 700_000, self._lives * 1_000),
                    BackendView("dear", True, 1, "half_open"),
                ),
                sites=lambda: (SiteView("sydney", 900_000, 40_000_000),),
                budgets=self._statuses,
                overshoot_usd_nanos=lambda: {"support-month": 10**7},
                holds_expired=lambda: 1,
                recorder=lambda: RecorderView(written=self._lives, waiting_max=4_096),
            ),
        )

    def live(self, requests: int) -> None:
        """Some requests, most of them served."""
        for _ in range(requests):
            self._lives += 1
            self._one()
        self.metrics.refused("no_key")
        self.metrics.streams(+1)
        self.metrics.ledger_took("reserve", 0.0006)
        self.metrics.loop_lagged(0.0004)

    def _one(self) -> None:
        backend = self._chance.choice(("cheap", "cheap", "dear"))
        usage = a_usage(self._chance.randint(20, 8_000), self._chance.randint(1, 900), cached=10, reasoning=1)
        usd_nanos = usage.total_tokens * (150 if backend == "cheap" else 2_000) + self._chance.randint(0, 9)
        energy_mj = usage.output_tokens * 400 if backend == "cheap" else None
        cost = amounts(usd_nanos, energy_mj, energy_mj and energy_mj // 9)
        attempt = an_attempt(backend, usage=usage, rated=cost, marginal=cost)
        attempt.attributed = replace(cost, energy_mj=energy_mj and energy_mj * 2)
        attempts = [attempt] if self._chance.random() > 0.1 else [an_attempt("dear", error="reset"), attempt]
        met = self._chance.random() > 0.02
        self.metrics.ended(
            a_record(
                *attempts,
                model=self._chance.choice(("chat", "code")),
                team=self._chance.choice(("support", "sales")),
                session=self._chance.choice((None, f"s{self._lives // 4}")),
                baseline_dearest_usd_nanos=usage.total_tokens * 2_000,
                ttft_ms=self._chance.uniform(80, 1_800),
                tpot_ms=self._chance.uniform(8, 60),
                duration_ms=self._chance.uniform(300, 20_000),
                overhead_ms=self._chance.uniform(0.4, 2.0),
                sla_met=met,
                passed_over={"dear/llama": "dearer"} if backend == "cheap" else {},
            )
        )
        self.usd_nanos += usd_nanos
        self.tokens += usage.total_tokens
        self.sla_judged += 1
        self.sla_met += met
        if self._chance.random() < 0.1:
            self.metrics.ended(a_record(outcome=Outcome.BUDGET_DENIED, status=402, error_code="budget_exhausted"))

    def _statuses(self) -> tuple[BudgetStatus, ...]:
        spent = {unit: 140 * per for unit, per in UNITS.items()}
        spent[Unit.USD_NANOS] += self._lives  # it grows, by next to nothing
        held = {unit: 10 * per for unit, per in UNITS.items()}
        return (
            BudgetStatus("support-month", "budget:support-month", MONTH, DECLARED[0].limits, spent, held),
            BudgetStatus("each-key", "budget:each-key:k1", MONTH, DECLARED[1].limits, {Unit.USD_NANOS: 10**8}),
            BudgetStatus("each-key", "budget:each-key:k2", MONTH, DECLARED[1].limits, {Unit.USD_NANOS: 9 * 10**8}),
        )

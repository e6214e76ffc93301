"""Budgets as gauges: in their units, declared ones only, templates as a distribution."""

from __future__ import annotations

from gateway.domain.amounts import Unit
from gateway.domain.budgets import Budget, BudgetStatus, WindowKind, WindowSpan
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.views import Views
from tests.support.records import a_snapshot

JULY, AUGUST = WindowSpan("2026-07", 1_000, 2_000), WindowSpan("2026-08", 2_000, 3_000)


def told(budgets: tuple[Budget, ...], *statuses: BudgetStatus, **views: object) -> Metrics:
    return Metrics(
        snapshot=a_snapshot(budgets=budgets),
        version="1",
        views=Views(budgets=lambda: statuses, **views),  # type: ignore[arg-type]
    )


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"joulegate_budget_{name}", labels)


MONTH = Budget(
    "month", {"team": "support"}, {Unit.USD_NANOS: 250 * 10**9, Unit.ENERGY_MJ: 18_000_000}, WindowKind.MONTH
)
EACH_KEY = Budget("each-key", {"key": "*"}, {Unit.USD_NANOS: 100, Unit.TOKENS: 1_000}, WindowKind.DAY)


def test_a_budget_shows_limit_spent_and_held_in_the_units_it_limits() -> None:
    spent = {Unit.USD_NANOS: 1_500_000_000, Unit.ENERGY_MJ: 2_500, Unit.TOKENS: 77}
    status = BudgetStatus("month", "budget:month", JULY, MONTH.limits, spent, {Unit.USD_NANOS: 1})

    metrics = told((MONTH,), status)

    assert value(metrics, "limit_usd", budget="month") == 250
    assert value(metrics, "spent_usd", budget="month") == 1.5
    assert value(metrics, "held_usd", budget="month") == 1e-9
    assert value(metrics, "limit_joules", budget="month") == 18_000
    assert value(metrics, "spent_joules", budget="month") == 2.5
    assert value(metrics, "held_joules", budget="month") == 0
    assert value(metrics, "spent_tokens", budget="month") is None


def test_the_newest_window_is_shown() -> None:
    new = BudgetStatus("month", "budget:month", AUGUST, MONTH.limits, {Unit.USD_NANOS: 1 * 10**9})
    old = BudgetStatus("month", "budget:month", JULY, MONTH.limits, {Unit.USD_NANOS: 249 * 10**9})

    assert value(told((MONTH,), new, old), "spent_usd", budget="month") == 1
    assert value(told((MONTH,), old, new), "spent_usd", budget="month") == 1


def test_counters_of_a_template_give_one_distribution_and_no_label_of_their_own() -> None:
    def of_key(key: str, usd_nanos: int, tokens: int) -> BudgetStatus:
        spent = {Unit.USD_NANOS: usd_nanos, Unit.TOKENS: tokens}
        return BudgetStatus("each-key", f"budget:each-key:{key}", JULY, EACH_KEY.limits, spent, {Unit.USD_NANOS: 10})

    metrics = told((EACH_KEY,), of_key("k1", 10, 0), of_key("k2", 10, 950), of_key("k3", 95, 0))

    assert value(metrics, "utilisation_ratio_gcount", budget="each-key") == 3
    assert value(metrics, "utilisation_ratio_bucket", budget="each-key", le="0.25") == 1  # 20 of 100
    assert value(metrics, "utilisation_ratio_bucket", budget="each-key", le="0.95") == 2  # 950 of 1,000 tokens
    assert value(metrics, "utilisation_ratio_bucket", budget="each-key", le="1.0") == 2  # 105 of 100 is above
    assert value(metrics, "spent_usd", budget="each-key") is None


def test_a_status_of_a_budget_that_is_not_in_force_is_left_out() -> None:
    gone = BudgetStatus("gone", "budget:gone", JULY, MONTH.limits, {})

    assert value(told((MONTH,), gone), "limit_usd", budget="gone") is None


def test_rate_limits_are_no_budgets() -> None:
    rate = Budget("per-minute", {"team": "support"}, {Unit.TOKENS: 10}, WindowKind.MINUTE, kind="rate")
    status = BudgetStatus("per-minute", "rate:per-minute", JULY, rate.limits, {Unit.TOKENS: 3})

    assert value(told((rate,), status), "spent_tokens", budget="per-minute") is None


def test_the_declared_overshoot_is_published() -> None:
    metrics = told((MONTH,), overshoot_usd_nanos=lambda: {"month": 2 * 10**9, "gone": 5})

    assert value(metrics, "overshoot_bound_usd", budget="month") == 2
    assert value(metrics, "overshoot_bound_usd", budget="gone") is None

"""Budgets as gauges: limit, spent and held of each declared one; a histogram for those made from a template."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from prometheus_client.core import Metric

from gateway.domain.amounts import MJ_PER_JOULE, NANOS_PER_USD, UG_PER_GRAM, Unit
from gateway.domain.budgets import Budget, BudgetStatus
from gateway.telemetry import catalogue as rows
from gateway.telemetry.catalogue import Gauge
from gateway.telemetry.histogram import Histogram
from gateway.telemetry.views import Views

EXPOSED_UNITS: Mapping[Unit, tuple[str, int]] = {
    Unit.USD_NANOS: ("usd", NANOS_PER_USD),
    Unit.ENERGY_MJ: ("joules", MJ_PER_JOULE),
    Unit.CARBON_UG: ("grams", UG_PER_GRAM),
    Unit.TOKENS: ("tokens", 1),
    Unit.REQUESTS: ("requests", 1),
}


def is_template(budget: Budget) -> bool:
    """Whether the budget stands for one counter per id: those are never labels."""
    return "*" in budget.scope.values()


def gauge(part: str, unit: Unit) -> Gauge:
    """The row of one part (limit, spent, held) in one unit. Safe under `max by`: all replicas tell the same."""
    name, per = EXPOSED_UNITS[unit]
    return Gauge(f"joulegate_budget_{part}_{name}", f"Budget's present window: {part}, in {name}.", ("budget",), per)


def budget_families(views: Views, budgets: Sequence[Budget]) -> Iterator[Metric]:
    """Gauges and utilisation of the budgets in force; a status of any other is left out."""
    declared = {budget.name: budget for budget in budgets if budget.kind == "budget"}
    statuses = [status for status in views.budgets() if status.budget in declared]
    single = newest_windows(status for status in statuses if not is_template(declared[status.budget]))
    for unit in EXPOSED_UNITS:
        limited = [status for status in single if unit in status.limits]
        yield gauge("limit", unit).family(((status.budget,), status.limits[unit]) for status in limited)
        yield gauge("spent", unit).family(((status.budget,), status.spent.get(unit, 0)) for status in limited)
        yield gauge("held", unit).family(((status.budget,), status.held.get(unit, 0)) for status in limited)
    yield rows.UTILISATION.family(
        utilisation(status for status in statuses if is_template(declared[status.budget])).items()
    )
    overshoot = views.overshoot_usd_nanos()
    yield rows.OVERSHOOT.family(((name,), nanos) for name, nanos in overshoot.items() if name in declared)


def newest_windows(statuses: Iterable[BudgetStatus]) -> list[BudgetStatus]:
    """One status per budget: its latest window."""
    newest: dict[str, BudgetStatus] = {}
    for status in statuses:
        known = newest.get(status.budget)
        if known is None or status.window.start_ms >= known.window.start_ms:
            newest[status.budget] = status
    return list(newest.values())


def utilisation(statuses: Iterable[BudgetStatus]) -> dict[tuple[str, ...], Histogram]:
    """How full the counters of each template are: of every counter, the unit nearest its limit."""
    histograms: dict[tuple[str, ...], Histogram] = {}
    for status in statuses:
        ratios = [
            (status.spent.get(unit, 0) + status.held.get(unit, 0)) / limit
            for unit, limit in status.limits.items()
            if limit > 0
        ]
        if ratios:
            histograms.setdefault((status.budget,), rows.UTILISATION.new()).observe(max(ratios))
    return histograms

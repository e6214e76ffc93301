"""Integers of the ledger as the numbers people read: dollars, joules, grams."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.domain.amounts import MJ_PER_JOULE, NANOS_PER_USD, UG_PER_GRAM, Unit
from gateway.domain.budgets import BudgetStatus

_READABLE = {
    Unit.USD_NANOS: ("usd", NANOS_PER_USD),
    Unit.ENERGY_MJ: ("joules", MJ_PER_JOULE),
    Unit.CARBON_UG: ("grams", UG_PER_GRAM),
    Unit.TOKENS: ("tokens", 1),
    Unit.REQUESTS: ("requests", 1),
    Unit.CONCURRENT: ("concurrent", 1),
}


def readable(amounts: Mapping[Unit, int]) -> dict[str, float]:
    """`{USD_NANOS: 1_500_000_000}` as `{"usd": 1.5}`. For eyes: the ledger keeps the integers."""
    return {
        name: amounts[unit] / per if per > 1 else amounts[unit]
        for unit, (name, per) in _READABLE.items()
        if unit in amounts
    }


def budget_json(status: BudgetStatus) -> dict[str, object]:
    """One budget's window and where it stands. Times are UTC milliseconds; `resets_ms` is null for a total.

    Of spent and held, a unit is shown that is limited or not nought.
    """
    return {
        "name": status.budget,
        "window": status.window.id,
        "since_ms": status.window.start_ms,
        "resets_ms": status.window.end_ms,
        "limit": readable(status.limits),
        "spent": readable(_worth_showing(status.spent, status.limits)),
        "held": readable(_worth_showing(status.held, status.limits)),
    }


def _worth_showing(amounts: Mapping[Unit, int], limits: Mapping[Unit, int]) -> dict[Unit, int]:
    return {unit: value for unit, value in amounts.items() if value or unit in limits}

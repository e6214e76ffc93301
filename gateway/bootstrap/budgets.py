"""What the `budgets` commands do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from gateway.bootstrap.assemble import assemble
from gateway.bootstrap.store import open_store
from gateway.domain.amounts import MJ_PER_JOULE, NANOS_PER_USD, UG_PER_GRAM, Unit
from gateway.domain.budgets import BudgetStatus

SHOWN: Mapping[Unit, tuple[str, int]] = {
    Unit.USD_NANOS: ("usd", NANOS_PER_USD),
    Unit.ENERGY_MJ: ("joules", MJ_PER_JOULE),
    Unit.CARBON_UG: ("grams", UG_PER_GRAM),
    Unit.TOKENS: ("tokens", 1),
    Unit.REQUESTS: ("requests", 1),
    Unit.CONCURRENT: ("concurrent", 1),
}


async def budget_rows(config: Path, env: Mapping[str, str]) -> Sequence[dict[str, object]]:
    """Every declared budget and limit in its present window, a row per unit, exact decimals as text."""
    async with open_store(config, env) as store:
        snapshot = assemble(store.file).snapshot
        statuses = await store.statuses.of_budgets(snapshot.budgets, await store.now_ms())
    return [row for status in statuses for row in rows_of(status)]


def rows_of(status: BudgetStatus) -> list[dict[str, object]]:
    """A line for each unit that is limited."""
    return [
        {
            "budget": status.budget,
            "counter": status.key,
            "window": status.window.id,
            "unit": SHOWN[unit][0],
            "limit": exact(limit, unit),
            "spent": exact(status.spent.get(unit, 0), unit),
            "held": exact(status.held.get(unit, 0), unit),
            "used": round((status.spent.get(unit, 0) + status.held.get(unit, 0)) / limit, 4) if limit else None,
            "resets": resets(status.window.end_ms),
        }
        for unit, limit in status.limits.items()
    ]


def exact(amount: int, unit: Unit) -> str:
    """An inner integer as people write it, without a rounding: 1500000000 nano-dollars are "1.5"."""
    return f"{(Decimal(amount) / SHOWN[unit][1]).normalize():f}"


def shown_unit(unit: Unit) -> str:
    """The word people use for a unit."""
    return SHOWN[unit][0]


def resets(end_ms: int | None) -> str | None:
    """When a window ends, in UTC; None for one that never does."""
    return None if end_ms is None else datetime.fromtimestamp(end_ms / 1_000, UTC).strftime("%Y-%m-%d %H:%MZ")

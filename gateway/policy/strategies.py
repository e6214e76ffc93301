"""What members are ranked by: one function per objective, from a quote to the amount that should be small.

A strategy is a row in `AMOUNTS`. None is unknown and ranks after everything known, because unknown is never zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gateway.domain.catalog import Objective, ServedModel
from gateway.domain.route import Quote

Strategy = Callable[[Quote], int | None]


def cost(quote: Quote) -> int | None:
    """Marginal nano-dollars of this request there."""
    return quote.expected.usd_nanos


def energy(quote: Quote) -> int | None:
    """Marginal millijoules."""
    return quote.expected.energy_mj


def carbon(quote: Quote) -> int | None:
    """Marginal micrograms of CO2e."""
    return quote.expected.carbon_ug


AMOUNTS: Mapping[Objective, Strategy] = {Objective.COST: cost, Objective.ENERGY: energy, Objective.CARBON: carbon}


def strategy_of(model: ServedModel) -> Strategy:
    """The model's objective; with `priority` the place in the operator's list is the amount."""
    if (strategy := AMOUNTS.get(model.objective)) is not None:
        return strategy
    places = {member.name: place for place, member in enumerate(model.members)}
    return lambda quote: places.get(quote.member.name)

"""What members are ranked by: one function per objective, from a quote to the amount that should be small.

A strategy is a row in `AMOUNTS`. None is unknown and ranks after everything known, because unknown is never zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gateway.domain.catalog import Objective
from gateway.domain.route import Quote

Strategy = Callable[[Quote, int], int | None]  # the quote, and the member's place in the declared list


def cost(quote: Quote, place: int) -> int | None:
    """Marginal nano-dollars of this request there."""
    return quote.expected.usd_nanos


def energy(quote: Quote, place: int) -> int | None:
    """Marginal millijoules."""
    return quote.expected.energy_mj


def carbon(quote: Quote, place: int) -> int | None:
    """Marginal micrograms of CO2e."""
    return quote.expected.carbon_ug


def priority(quote: Quote, place: int) -> int | None:
    """The order in which the operator listed the members."""
    return place


AMOUNTS: Mapping[Objective, Strategy] = {
    Objective.COST: cost,
    Objective.ENERGY: energy,
    Objective.CARBON: carbon,
    Objective.PRIORITY: priority,
}

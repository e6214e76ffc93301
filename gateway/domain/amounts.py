"""What a request costs, in every unit a budget can be written in. Integers inside; decimals only at the edges."""

from __future__ import annotations

from enum import StrEnum

from gateway.domain.value import value

NANOS_PER_USD = 1_000_000_000
MJ_PER_JOULE = 1_000  # mj is millijoule throughout the house, never megajoule
MJ_PER_WH = 3_600_000
UG_PER_GRAM = 1_000_000


class Unit(StrEnum):
    """A unit a budget counts in. The value is the field's name in a Redis counter and in `Amounts`."""

    USD_NANOS = "usd_nanos"
    ENERGY_MJ = "energy_mj"
    CARBON_UG = "carbon_ug"
    TOKENS = "tokens"
    REQUESTS = "requests"
    CONCURRENT = "concurrent"


@value
class Amounts:
    """One request's cost. `None` is unknown, and unknown is never zero (law 8).

    usd_nanos: nano-dollars. energy_mj: millijoules at the facility boundary. carbon_ug: micrograms of CO2e.
    tokens: input plus output, cached input included. requests: 1 for a request, 0 for a part of one.
    """

    usd_nanos: int = 0
    energy_mj: int | None = 0
    carbon_ug: int | None = 0
    tokens: int = 0
    requests: int = 0

    def __add__(self, other: Amounts) -> Amounts:
        """Sum unit by unit; unknown plus anything is unknown."""
        return Amounts(
            self.usd_nanos + other.usd_nanos,
            None if self.energy_mj is None or other.energy_mj is None else self.energy_mj + other.energy_mj,
            None if self.carbon_ug is None or other.carbon_ug is None else self.carbon_ug + other.carbon_ug,
            self.tokens + other.tokens,
            self.requests + other.requests,
        )


NOTHING = Amounts()

"""Where a deployment stands: what its building adds to its power, and what its electricity costs and emits."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Site:
    """One place with one meter. A site owns PUE, zone, tariff and cap; profiles may not.

    pue: facility energy over IT energy, 1 or more. usd_per_kwh: what a kilowatt-hour costs here; an explicit 0 where
    electricity is part of the capacity's price. grid_g_per_kwh: the operator's own grid factor, with its source.
    """

    name: str
    pue: Decimal
    usd_per_kwh: Decimal
    zone: str | None = None
    power_cap_watts: int | None = None
    grid_g_per_kwh: Decimal | None = None
    grid_source: str | None = None


@dataclass(frozen=True, slots=True)
class GridFactor:
    """Grams of CO2e per kilowatt-hour of electricity in a zone, and how we know.

    method: "location", "market" or "marginal". scope: "lifecycle" or "direct". year: the year the figure describes.
    """

    zone: str
    g_per_kwh: Decimal
    year: int | None
    source: str
    method: str = "location"
    scope: str = "lifecycle"

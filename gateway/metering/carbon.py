"""Energy to carbon. Pure arithmetic; which factor holds where is for `feeds/grid.py` to know."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from gateway.domain.site import GridFactor, Site
from gateway.metering.rounding import half_even, nearest

NJ_PER_KJ = 1_000_000_000_000


def ug_per_kj(g_per_kwh: Decimal) -> int:
    """Micrograms per kilojoule: 1 g/kWh is 1e6 ug per 3600 kJ. Rounded once, at load (under 1e-5 of any real grid)."""
    return nearest(Fraction(g_per_kwh) * 1_000_000 / 3_600)


def micrograms(energy_nj: int, carbon_ug_per_kj: int) -> int:
    """Carbon of some facility energy, half-even."""
    return half_even(energy_nj * carbon_ug_per_kj, NJ_PER_KJ)


def factor_at(site: Site | None, grid: GridFactor | None) -> GridFactor | None:
    """The factor that holds at a site: the operator's own before the table's; None is unknown, never zero."""
    if site is not None and site.grid_g_per_kwh is not None:
        return GridFactor(site.zone or site.name, site.grid_g_per_kwh, None, site.grid_source or "operator")
    return grid

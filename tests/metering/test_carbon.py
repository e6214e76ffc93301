"""Energy to carbon, and whose factor holds."""

from __future__ import annotations

from decimal import Decimal

from gateway.domain.site import GridFactor
from gateway.metering.carbon import factor_at, micrograms, ug_per_kj
from tests.metering.making import a_site

FRANCE = GridFactor("FR", Decimal("56.039"), 2023, "a table")


def test_a_kilowatt_hour_emits_the_factor() -> None:
    kilowatt_hour_nj = 3_600_000 * 10**9

    assert ug_per_kj(Decimal("369.473")) == 102_631  # 369.473e6 ug / 3600 kJ = 102,631.39
    assert abs(micrograms(kilowatt_hour_nj, 102_631) - 369_473_000) < 369_473_000 * 1e-5


def test_an_operators_own_factor_comes_before_the_table() -> None:
    site = a_site(zone="FR", grid_g_per_kwh=Decimal(0), grid_source="own hydro, metered")

    factor = factor_at(site, FRANCE)

    assert factor is not None
    assert (factor.g_per_kwh, factor.source, factor.zone) == (0, "own hydro, metered", "FR")


def test_without_either_the_factor_is_unknown_not_zero() -> None:
    assert factor_at(a_site(zone="AU-NSW"), None) is None
    assert factor_at(a_site(), FRANCE) is FRANCE

"""Grid factors that ship: sourced, findable by either code, and unknown where nobody gave a figure."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from gateway.domain.faults import BadDocument
from gateway.feeds.grid import load_grid

GRID = load_grid()

TABLE = """\
schema: joulegate.grid/1
source: a test
retrieved: 2026-11-23
licence: MIT
method: location
scope: direct
zones:
  NO: {g_per_kwh: 0, year: 2025, iso3: NOR}
"""


@pytest.mark.parametrize(
    ("zone", "g_per_kwh"),
    [
        ("US", 369),
        ("FR", 56),
        ("DE", 381),
        ("GB", 238),
        ("SE", 41),
        ("IN", 713),
        ("PL", 662),
        ("CN", 582),
        ("JP", 485),
        ("IE", 291),
        ("BR", 98),
    ],
)
def test_a_country_has_the_figure_of_its_source(zone: str, g_per_kwh: int) -> None:
    factor = GRID.factor(zone)

    assert factor is not None
    assert round(factor.g_per_kwh) == g_per_kwh
    assert (factor.year, factor.method, factor.scope) == (2023, "location", "lifecycle")
    assert "Our World in Data" in factor.source


def test_either_iso_code_finds_a_country_in_any_case() -> None:
    assert GRID.factor("DEU") is GRID.factor("de") is GRID.factor("DE")


def test_a_state_has_its_own_figure() -> None:
    """California: 394.769 pounds per MWh, 453.59237 g each."""
    factor = GRID.factor("US-CA")

    assert factor is not None
    assert factor.g_per_kwh == Decimal("179.064")
    assert factor.scope == "direct"


@pytest.mark.parametrize("zone", ["AU-NSW", "XX", "", "US-XX", None])
def test_a_zone_without_a_figure_is_unknown_and_never_its_country(zone: str | None) -> None:
    assert GRID.factor(zone) is None


def test_no_packaged_figure_is_zero_or_beyond_what_coal_emits() -> None:
    assert len({id(factor) for factor in GRID.factors.values()}) > 250
    assert all(0 < factor.g_per_kwh < 1_500 for factor in GRID.factors.values())


def test_a_table_of_ones_own_is_read_and_its_zero_is_a_zero(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(TABLE, encoding="utf-8")

    factor = load_grid(tmp_path).factor("NOR")

    assert factor is not None
    assert factor.g_per_kwh == 0


def test_a_table_with_a_fault_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(TABLE.replace("g_per_kwh: 0", "g_per_kwh: -1"), encoding="utf-8")

    with pytest.raises(BadDocument, match=r"own\.yaml:8: zones\.NO\.g_per_kwh: should be greater"):
        load_grid(tmp_path)

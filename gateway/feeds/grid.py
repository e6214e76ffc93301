"""Yearly grid averages that ship with the program, per zone, each with its source. An unknown zone is unknown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from gateway.domain.documents import Section, load
from gateway.domain.site import GridFactor
from gateway.feeds.packaged import packaged_path


class GridZone(Section):
    """One zone's yearly average. `iso3`: a second name it answers to."""

    g_per_kwh: Annotated[Decimal, Field(ge=0)]
    year: int
    iso3: str | None = None


class GridTable(Section):
    """`joulegate.grid/1`: zones of one source, with what its figures mean."""

    schema_: Literal["joulegate.grid/1"] = Field(alias="schema")
    source: str
    retrieved: date
    licence: str
    method: Literal["location", "market", "marginal"]
    scope: Literal["lifecycle", "direct"]
    zones: dict[str, GridZone]


@dataclass(frozen=True, slots=True)
class Grid:
    """Factors by zone: ISO 3166 codes of a country ("DE" or "DEU") or of its part ("US-CA")."""

    factors: Mapping[str, GridFactor]

    def factor(self, zone: str | None) -> GridFactor | None:
        """The zone's factor. None if it is not known; never that of the country around it, which may differ tenfold."""
        return None if zone is None else self.factors.get(zone.upper())


def load_grid(directory: Path | None = None) -> Grid:
    """The grid tables of a directory (the packaged one by default). Raises BadDocument."""
    factors: dict[str, GridFactor] = {}
    for path in sorted((directory or packaged_path("policies", "grid")).glob("*.yaml")):
        table = load(path.read_text(encoding="utf-8"), file=str(path), model=GridTable)
        for zone, figures in table.zones.items():
            factor = GridFactor(zone, figures.g_per_kwh, figures.year, table.source, table.method, table.scope)
            factors[zone] = factor
            if figures.iso3:
                factors[figures.iso3] = factor
    return Grid(factors)

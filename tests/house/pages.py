"""Pages of docs/ that are written from the code: `make docs` writes them, a test of the house wants them fresh."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from gateway.bootstrap.check import schema_of
from gateway.bootstrap.merge import rule_of
from gateway.telemetry import catalogue
from gateway.telemetry.budgets import EXPOSED_UNITS, gauge
from tests.house.house import ROOT

KINDS = {catalogue.Counter: "counter", catalogue.Gauge: "gauge", catalogue.Distribution: "histogram"}
HEAD = """\
# Metrics

Written from `gateway/telemetry/catalogue.py` by `make docs`. Names are a contract. Label values come from closed lists:
never a key, a request id or user text. Last column: how the figures of several workers of one gateway become one.

| metric | kind | labels | meaning | workers |
|---|---|---|---|---|
"""


def metrics_page() -> str:
    """Every metric of the gateway's own, in order of its name."""
    rows = [row for row in vars(catalogue).values() if type(row) in KINDS]
    rows += [gauge(part, unit) for part in ("limit", "spent", "held") for unit in EXPOSED_UNITS]
    return HEAD + "".join(_line(row) for row in sorted(rows, key=lambda row: row.name))


def _line(row: catalogue.Row) -> str:
    kind = KINDS[type(row)]
    rule = rule_of(row.name.removesuffix("_total"), kind)
    labels = ", ".join(row.labels) or "-"
    return f"| `{row.name}` | {kind} | {labels} | {row.help} | {getattr(rule, '__name__', 'left out')} |\n"


def pages() -> Mapping[Path, str]:
    """Each written page's path and text."""
    schemas = {
        ROOT / "docs" / "schemas" / f"{name}.schema.json": json.dumps(schema_of(name), indent=2, sort_keys=True) + "\n"
        for name in ("settings", "policy", "profile")
    }
    return {ROOT / "docs" / "metrics.md": metrics_page(), **schemas}


def main() -> None:
    """Write them."""
    for path, text in pages().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

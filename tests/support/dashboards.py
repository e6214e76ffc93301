"""Dashboards as Grafana would use them: their queries with variables filled in, asked of a real Prometheus."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.prometheus import Prometheus, Series

COST_DASHBOARD = Path(__file__).parents[2] / "grafana" / "dashboards" / "cost.json"
EVERYTHING = {"$model": ".*", "$team": ".*"}


@dataclass(frozen=True)
class Query:
    """One query of a panel, variables filled in."""

    panel: str
    ref: str
    expr: str
    instant: bool


def read_dashboard(path: Path = COST_DASHBOARD) -> dict[str, Any]:
    dashboard = json.loads(path.read_text())
    assert isinstance(dashboard, dict)
    return dashboard


def queries(
    dashboard: Mapping[str, Any],
    *,
    rate_interval: str = "1m",
    time_range: str = "1h",
    variables: Mapping[str, str] = EVERYTHING,
) -> Iterator[Query]:
    """Every query, as Grafana would send it."""
    filled = {"$__rate_interval": rate_interval, "$__range": time_range, **variables}
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            expr = target["expr"]
            for name, value in filled.items():
                expr = expr.replace(name, value)
            yield Query(panel["title"], target["refId"], expr, bool(target.get("instant")))


def every_panel_has_data(
    prometheus: Prometheus, dashboard: Mapping[str, Any], *, rate_interval: str = "1m", seconds: float = 300.0
) -> dict[str, list[Series]]:
    """Asserts a number in at least one query of each panel, and a value of each variable; answers by panel.

    seconds: how far back traffic may lie; also the dashboard's time range. A panel of an instant query is asked now.
    """
    answers: dict[str, list[Series]] = {}
    for query in queries(dashboard, rate_interval=rate_interval, time_range=f"{int(seconds)}s"):
        found = answers.setdefault(query.panel, [])
        if query.instant:
            found += prometheus.query(query.expr)
        else:
            found += prometheus.query_range(query.expr, seconds=seconds, step_s=max(1.0, seconds / 300))
    empty = [panel for panel, found in answers.items() if not any(has_number(series) for series in found)]
    assert not empty, f"panels without data: {empty}"
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            metric, label = variable["query"].removeprefix("label_values(").removesuffix(")").split(", ")
            assert prometheus.label_values(metric, label), f"variable {variable['name']} has no values"
    return answers


def has_number(series: Series) -> bool:
    return any(math.isfinite(value) for value in series.values)

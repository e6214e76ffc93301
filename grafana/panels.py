"""The few shapes a panel of ours may have, so that a dashboard reads as a list of questions and queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count
from typing import TypeVar

from grafana_foundation_sdk.builders import bargauge, common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as dashboard_models
from grafana_foundation_sdk.models.dashboard import DataSourceRef

DATASOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")

Queries = Mapping[str, str]  # legend to PromQL
Panel = TypeVar("Panel", timeseries.Panel, stat.Panel, bargauge.Panel)
Panels = tuple[timeseries.Panel | stat.Panel | bargauge.Panel, ...]


def stat_panel(
    title: str, expr: str, *, unit: str, says: str, decimals: int | None = None, width: int = 4
) -> stat.Panel:
    """One figure over the whole time range."""
    panel = (
        stat.Panel()
        .targets([query(expr, "", "A", instant=True)])
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .graph_mode(common_models.BigValueGraphMode.NONE)
        .color_mode(common_models.BigValueColorMode.VALUE)
    )
    if decimals is not None:
        panel = panel.decimals(decimals)
    return framed(panel, title, unit=unit, says=says, width=width, height=4)


def share_panel(title: str, expr: str, *, target: float, says: str, width: int = 4) -> stat.Panel:
    """A share that should stay above `target`: green above, orange a little below, red else."""
    panel = stat_panel(title, expr, unit="percentunit", says=says, decimals=2, width=width)
    return panel.thresholds(thresholds((None, "red"), (target - 0.02, "orange"), (target, "green")))


def gauge_panel(title: str, queries: Queries, *, says: str, width: int = 8) -> bargauge.Panel:
    """How full something is, one bar each, yellow from 75 %, red from 90 %."""
    panel = (
        bargauge.Panel()
        .targets(targets(queries, instant=True))
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .orientation(common_models.VizOrientation.HORIZONTAL)
        .display_mode(common_models.BarGaugeDisplayMode.LCD)
        .min(0)
        .max(1)
        .thresholds(thresholds((None, "green"), (0.75, "yellow"), (0.9, "red")))
    )
    return framed(panel, title, unit="percentunit", says=says, width=width, height=8)


def graph(
    title: str,
    queries: Queries,
    *,
    unit: str,
    says: str,
    stacked: bool = False,
    decimals: int | None = None,
    width: int = 8,
) -> timeseries.Panel:
    """Lines over time, or stacked areas where the lines add up to a whole."""
    panel = (
        timeseries.Panel()
        .targets(targets(queries))
        .line_width(1 if stacked else 2)
        .fill_opacity(40 if stacked else 8)
        .show_points(common_models.VisibilityMode.NEVER)
        .min(0)
        .legend(
            common.VizLegendOptions()
            .display_mode(common_models.LegendDisplayMode.TABLE)
            .placement(common_models.LegendPlacement.BOTTOM)
            .show_legend(True)
            .calcs(["mean", "lastNotNull"])
        )
        .tooltip(
            common.VizTooltipOptions()
            .mode(common_models.TooltipDisplayMode.MULTI)
            .sort(common_models.SortOrder.DESCENDING)
        )
    )
    if stacked:
        panel = panel.stacking(common.StackingConfig().mode(common_models.StackingMode.NORMAL).group("A"))
    if decimals is not None:
        panel = panel.decimals(decimals)
    return framed(panel, title, unit=unit, says=says, width=width, height=8)


def framed(panel: Panel, title: str, *, unit: str, says: str, width: int, height: int) -> Panel:
    """What every panel has."""
    return panel.title(title).description(says).unit(unit).datasource(DATASOURCE).span(width).height(height)


def targets(queries: Queries, *, instant: bool = False) -> list[Builder[Dataquery]]:
    """Queries with ref ids A, B, ..."""
    return [query(expr, legend, chr(ord("A") + n), instant=instant) for n, (legend, expr) in enumerate(queries.items())]


def query(expr: str, legend: str, ref_id: str, *, instant: bool = False) -> prometheus.Dataquery:
    """One PromQL query, its expression on one line."""
    target = prometheus.Dataquery().expr(" ".join(expr.split())).legend_format(legend).ref_id(ref_id)
    target = target.datasource(DATASOURCE)
    return target.instant() if instant else target.range()


def thresholds(*steps: tuple[float | None, str]) -> dashboard.ThresholdsConfig:
    """Colours from given values upwards; None: from the lowest."""
    return (
        dashboard.ThresholdsConfig()
        .mode(dashboard_models.ThresholdsMode.ABSOLUTE)
        .steps([dashboard_models.Threshold(value=value, color=color) for value, color in steps])
    )


def choice(name: str, label: str, metric: str) -> dashboard.QueryVariable:
    """A variable of a label's values, several at once, all by default."""
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(DATASOURCE)
        .query(f"label_values({metric}, {name})")
        .refresh(dashboard_models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(dashboard_models.VariableOption(selected=True, text="All", value="$__all"))
        .sort(dashboard_models.VariableSort.ALPHABETICAL_ASC)
    )


def lay_out(board: dashboard.Dashboard, rows: Sequence[tuple[str, Panels]]) -> dashboard.Dashboard:
    """Add each row's heading and panels, numbered from 1 so that a link to a panel stays good."""
    ids = count(1)
    for title, panels in rows:
        board = board.with_row(dashboard.Row(title).id(next(ids)))
        for panel in panels:
            board = board.with_panel(panel.id(next(ids)))
    return board

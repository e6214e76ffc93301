"""The dashboard 'Cost': what inference costs in dollars, joules and grams, who spends it, and whether it is worth it.

`python -m grafana.cost` writes dashboards/cost.json; tests assert that the file is fresh, and run every query.
"""

from __future__ import annotations

from pathlib import Path

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as dashboard_models

from grafana.money import at_a_glance, budgets, spend
from grafana.panels import choice, lay_out
from grafana.queries import REQUESTS
from grafana.service import energy_and_carbon, service

OUTPUT = Path(__file__).parent / "dashboards" / "cost.json"
UID = "joulegate-cost"
DATASOURCE_UID = "joulegate-prometheus"  # as provisioning/datasources names it


def build() -> dashboard.Dashboard:
    """The dashboard."""
    board = (
        dashboard.Dashboard("Joulegate: Cost")
        .uid(UID)
        .description("Dollars, joules and grams of inference; budgets; SLA; what routing saves.")
        .tags(["joulegate", "llm", "cost", "energy"])
        .refresh("10s")
        .time("now-1h", "now")
        .timezone("browser")
        .tooltip(dashboard_models.DashboardCursorSync.CROSSHAIR)
        .readonly()
        .with_variable(
            dashboard.DatasourceVariable("datasource")
            .label("Data source")
            .type("prometheus")
            .current(dashboard_models.VariableOption(selected=True, text="Prometheus", value=DATASOURCE_UID))
        )
        .with_variable(choice("team", "Team", REQUESTS))
        .with_variable(choice("model", "Model", REQUESTS))
    )
    return lay_out(
        board,
        (
            ("At a glance", at_a_glance()),
            ("Budgets", budgets()),
            ("Spend", spend()),
            ("Energy and carbon", energy_and_carbon()),
            ("Service", service()),
        ),
    )


def to_json() -> str:
    """The dashboard as Grafana reads it, keys sorted, so that a change shows as one."""
    return JSONEncoder(sort_keys=True, indent=2).encode(build().build()) + "\n"


if __name__ == "__main__":
    OUTPUT.write_text(to_json(), encoding="utf-8")

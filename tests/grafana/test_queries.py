"""Every query of the dashboard: valid PromQL, about metrics that exist, with data on a real Prometheus."""

from __future__ import annotations

import re
from collections.abc import Iterator

import promql_parser
import pytest

from tests.support.dashboards import every_panel_has_data, queries, read_dashboard
from tests.support.prometheus import Prometheus, prometheus
from tests.support.scrape import served
from tests.support.town import Town

OURS = re.compile(r"\bjoulegate_[a-z_]+")


def test_every_query_is_valid_promql() -> None:
    for query in queries(read_dashboard()):
        promql_parser.parse(query.expr)


def test_every_query_names_metrics_that_the_gateway_exposes() -> None:
    town = Town()
    town.live(20)
    exposed = {sample.name for family in town.metrics.registry.collect() for sample in family.samples}

    named = {name for query in queries(read_dashboard()) for name in OURS.findall(query.expr)}

    assert named - exposed == set()


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Town, Prometheus]]:
    """A gateway's metrics after a while of traffic, scraped by a real Prometheus before, during and after."""
    town = Town()
    with served(town.metrics) as target, prometheus(tmp_path_factory.mktemp("prometheus"), [target]) as server:
        for _ in range(3):
            scrapes = server.query("count_over_time(joulegate_build_info[10m])")
            before = scrapes[0].values[0] if scrapes else 0
            town.live(60)
            server.wait_for("count_over_time(joulegate_build_info[10m])", lambda now, was=before: now > was + 1)
        yield town, server


@pytest.mark.prometheus
def test_every_panel_has_data(watched: tuple[Town, Prometheus]) -> None:
    _, server = watched

    every_panel_has_data(server, read_dashboard(), rate_interval="30s")


@pytest.mark.prometheus
def test_prometheus_holds_the_exact_sum_of_the_records(watched: tuple[Town, Prometheus]) -> None:
    town, server = watched

    dollars = server.value("sum(joulegate_cost_usd_total)")
    tokens = server.value("sum(joulegate_tokens_total)")

    assert round(dollars * 1e9) == town.usd_nanos
    assert tokens == town.tokens


@pytest.mark.prometheus
def test_a_figure_at_a_glance_is_what_its_records_say(watched: tuple[Town, Prometheus]) -> None:
    town, server = watched

    answers = every_panel_has_data(server, read_dashboard(), rate_interval="30s")

    used = [one.values[0] for one in answers["Budgets used"]]
    assert used == [pytest.approx(0.6)] * 5  # 140 spent and 10 held of 250, in each unit
    (met,) = answers["SLA met"]
    assert met.values == (pytest.approx(town.sla_met / town.sla_judged, abs=0.05),)

"""The demo's table shows what /metrics says."""

from __future__ import annotations

from math import inf

import pytest
from rich.console import Console

from gateway.bootstrap.demo_table import median, plain, read_figures, table

SCRAPE = """\
# TYPE joulegate_requests_total counter
joulegate_requests_total{model="chat",backend="swift",team="demo",outcome="served"} 3
joulegate_requests_total{model="chat",backend="thrifty",team="demo",outcome="served"} 1
joulegate_requests_total{model="chat",backend="none",team="trial",outcome="budget_denied"} 2
# TYPE joulegate_cost_usd_total counter
joulegate_cost_usd_total{model="chat",backend="swift",team="demo"} 0.003
joulegate_cost_usd_total{model="chat",backend="thrifty",team="demo"} 0.001
# TYPE joulegate_energy_joules_total counter
joulegate_energy_joules_total{model="chat",backend="swift",team="demo",part="marginal"} 10
joulegate_energy_joules_total{model="chat",backend="swift",team="demo",part="base"} 20
# TYPE joulegate_baseline_cost_usd_total counter
joulegate_baseline_cost_usd_total{model="chat",baseline="dearest"} 0.016
# TYPE joulegate_sla_requests_total counter
joulegate_sla_requests_total{class="interactive",backend="swift",met="true"} 3
joulegate_sla_requests_total{class="interactive",backend="swift",met="false"} 1
# TYPE joulegate_budget_limit_usd gauge
joulegate_budget_limit_usd{budget="trial"} 0.002
# TYPE joulegate_budget_spent_usd gauge
joulegate_budget_spent_usd{budget="trial"} 0.0015
"""


def test_figures_are_the_sums_of_what_was_scraped() -> None:
    figures = read_figures(SCRAPE)

    assert figures.requests == 6
    assert figures.usd == pytest.approx(0.004)
    assert figures.lines["swift"].joules == 30
    assert figures.lines["swift"].sla == 0.75
    assert "none" not in figures.lines
    assert figures.savings == pytest.approx(0.75)
    assert figures.budgets["trial (usd)"].spent == 0.0015
    assert figures.outcomes["budget_denied"] == 2


def test_a_log_line_says_it_in_words() -> None:
    assert plain(read_figures(SCRAPE)) == (
        "requests=6 swift=3 thrifty=1 dollars=0.004000 joules=30.0 "
        "saved against the dearest backend: 75%; refused, budget spent (402): 2"
    )


def test_a_long_demo_still_fits_a_terminal_of_80_columns() -> None:
    figures = read_figures(SCRAPE)
    thrifty = figures.lines["thrifty"]
    thrifty.requests, thrifty.usd, thrifty.joules, thrifty.grams = 123_456, 12.345678, 12_345_678.0, 1_234.567
    thrifty.output_tokens, thrifty.met, thrifty.ttft[1.0] = 9_876_543, 123_456, 1.0
    console = Console(width=80, force_terminal=False)

    with console.capture() as shown:
        console.print(table(figures))

    assert "…" not in shown.get()
    assert "12345678" in shown.get()
    assert "1234.567" in shown.get()


def test_the_median_lies_inside_its_bucket() -> None:
    assert median({0.1: 2, 0.2: 6, inf: 8}) == pytest.approx(0.15)  # the 4th of 8: half of the 4 between 0.1 and 0.2
    assert median({0.1: 0, inf: 0}) is None
    assert median({}) is None
    assert median({0.1: 1, inf: 10}) == 0.1  # beyond the last bound: not known better

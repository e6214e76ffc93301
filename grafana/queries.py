"""Names of our metrics and the few forms of PromQL that the dashboard is made of."""

from __future__ import annotations

RANGE, RATE = "[$__range]", "[$__rate_interval]"
PICKED = '{model=~"$model",team=~"$team"}'
MODEL = '{model=~"$model"}'
REACHED = '{model=~"$model",team=~"$team",outcome=~"served|client_left|incomplete"}'
PER_HOUR, PER_MILLION = "3600", "1e6"
JOULE, GRAM = "joule", "massg"  # Grafana's units; the SDK names neither
TEAM_BLIND = " All teams: this metric knows no team."
COST, TOKENS, ENERGY = "joulegate_cost_usd_total", "joulegate_tokens_total", "joulegate_energy_joules_total"
CARBON, BASELINE = "joulegate_carbon_grams_total", "joulegate_baseline_cost_usd_total"
REQUESTS, INTERACTIONS = "joulegate_requests_total", "joulegate_interactions_total"
SLA, IDLE = "joulegate_sla_requests_total", "joulegate_backend_idle_energy_joules_total"
BY_BACKEND, BY_MODEL, BY_TEAM = " by (backend)", " by (model)", " by (team)"
DEAREST = '{model=~"$model",baseline="dearest"}'
MET = '{met="true"}'


def increase(metric: str, labels: str = "", by: str = "") -> str:
    """What a counter gained over the dashboard's time range."""
    return f"sum{by} (increase({metric}{labels}{RANGE}))"


def rate(metric: str, labels: str = "", by: str = "") -> str:
    """A counter's gain per second."""
    return f"sum{by} (rate({metric}{labels}{RATE}))"


def metered_tokens() -> str:
    """Tokens of the time range on backends whose energy is known."""
    by = " by (model, backend, team)"
    return f"sum({increase(TOKENS, PICKED, by)} and {increase(ENERGY, PICKED, by)})"


def used(unit: str) -> str:
    """How full each budget is in a unit of its limits."""
    spent_and_held = f"joulegate_budget_spent_{unit} + joulegate_budget_held_{unit}"
    return f"max by (budget) (({spent_and_held}) / joulegate_budget_limit_{unit})"


def quantile(q: float, histogram: str, labels: str = "", by: str = "le") -> str:
    """A quantile of a histogram over the rate interval."""
    return f"histogram_quantile({q}, sum by ({by}) (rate({histogram}_bucket{labels}{RATE})))"

"""Panels about dollars: at a glance, budgets, spend."""

from __future__ import annotations

from grafana_foundation_sdk.models import units

from grafana.panels import Panels, gauge_panel, graph, share_panel, stat_panel
from grafana.queries import (
    BASELINE,
    BY_BACKEND,
    BY_MODEL,
    BY_TEAM,
    COST,
    DEAREST,
    ENERGY,
    INTERACTIONS,
    MET,
    MODEL,
    PER_HOUR,
    PER_MILLION,
    PICKED,
    REACHED,
    REQUESTS,
    SLA,
    TEAM_BLIND,
    TOKENS,
    increase,
    metered_tokens,
    rate,
    used,
)


def at_a_glance() -> Panels:
    """Six figures over the time range."""
    return (
        stat_panel(
            "Spent",
            increase(COST, PICKED),
            unit=units.Dollars,
            says="Rated dollars of the picked teams and models over the time range: what their budgets were charged.",
        ),
        stat_panel(
            "Saved against the dearest",
            f"{increase(BASELINE, DEAREST)} - {increase(COST, MODEL)}",
            unit=units.Dollars,
            says="What the same usage would have cost on the dearest member, less what it did cost." + TEAM_BLIND,
        ),
        stat_panel(
            "Per interaction",
            f"{increase(COST, PICKED)} / {increase(INTERACTIONS, PICKED)}",
            unit=units.Dollars,
            says="Dollars per interaction: a session named by x-joulegate-session, or a request that names none.",
        ),
        stat_panel(
            "Per million tokens",
            f"{increase(COST, PICKED)} / {increase(TOKENS, PICKED)} * {PER_MILLION}",
            unit=units.Dollars,
            says="Dollars per million tokens, input and output together, cached input included.",
        ),
        stat_panel(
            "Tokens per joule",
            f"{metered_tokens()} / {increase(ENERGY, PICKED)}",
            unit=units.Short,
            says="Tokens per joule of facility energy attributed to the picked requests. Backends whose energy "
            "is unknown are left out of both.",
            decimals=2,
        ),
        share_panel(
            "SLA met",
            f"{increase(SLA, MET)} / {increase(SLA)}",
            target=0.99,
            says="Share of served requests that met every bound of their SLA class. All teams and models.",
        ),
    )


def budgets() -> Panels:
    """Declared budgets: how full, how fast."""
    return (
        gauge_panel(
            "Budgets used",
            {
                f"{{{{budget}}}} {name}": used(unit)
                for name, unit in (
                    ("dollars", "usd"),
                    ("energy", "joules"),
                    ("carbon", "grams"),
                    ("tokens", "tokens"),
                    ("requests", "requests"),
                )
            },
            says="Spent plus held over the limit of each declared budget in its present window. At 100 % callers "
            "get 402.",
        ),
        graph(
            "Spend against dollar budgets",
            {
                "{{budget}} spent": "max by (budget) (joulegate_budget_spent_usd)",
                "{{budget}} limit": "max by (budget) (joulegate_budget_limit_usd)",
            },
            unit=units.Dollars,
            says="What each budget has spent in its window, under its limit. Falls to zero when a window ends.",
        ),
        graph(
            "Time left at this pace",
            {
                "{{budget}}": "max by (budget) (joulegate_budget_limit_usd - joulegate_budget_spent_usd - "
                "joulegate_budget_held_usd) / (max by (budget) (deriv(joulegate_budget_spent_usd[1h])) > 0)"
            },
            unit=units.Seconds,
            says="How long each dollar budget lasts if spending goes on as in the last hour. Below the time to the "
            "end of its window it will be spent early.",
        ),
    )


def spend() -> Panels:
    """Who spends what, on what, and what it buys."""
    return (
        graph(
            "Dollars per hour by backend",
            {"{{backend}}": f"{rate(COST, PICKED, BY_BACKEND)} * {PER_HOUR}"},
            unit=units.Dollars,
            says="Where the money goes: rated dollars per hour.",
            stacked=True,
        ),
        graph(
            "Dollars per hour by team",
            {"{{team}}": f"{rate(COST, PICKED, BY_TEAM)} * {PER_HOUR}"},
            unit=units.Dollars,
            says="Who spends it: rated dollars per hour.",
            stacked=True,
        ),
        graph(
            "Dollars per hour against the dearest",
            {
                "dearest member": f"{rate(BASELINE, DEAREST)} * {PER_HOUR}",
                "spent": f"{rate(COST, MODEL)} * {PER_HOUR}",
            },
            unit=units.Dollars,
            says="The gap between the lines is what routing saves." + TEAM_BLIND,
        ),
        graph(
            "Cost per interaction",
            {"{{model}}": f"{rate(COST, PICKED, BY_MODEL)} / {rate(INTERACTIONS, PICKED, BY_MODEL)}"},
            unit=units.Dollars,
            says="Dollars per session (or per request that names none), by model: multiply by users to plan a budget.",
        ),
        graph(
            "Cost per request",
            {"{{model}}": f"{rate(COST, PICKED, BY_MODEL)} / {rate(REQUESTS, REACHED, BY_MODEL)}"},
            unit=units.Dollars,
            says="Dollars per request that reached a backend, failed attempts included.",
        ),
        graph(
            "Cost per million tokens",
            {"{{backend}}": f"{rate(COST, PICKED, BY_BACKEND)} / {rate(TOKENS, PICKED, BY_BACKEND)} * {PER_MILLION}"},
            unit=units.Dollars,
            says="What a million tokens really cost on each backend with the traffic it gets.",
        ),
    )

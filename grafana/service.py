"""Panels about joules, grams and the service itself."""

from __future__ import annotations

from grafana_foundation_sdk.models import units

from grafana.panels import Panels, graph
from grafana.queries import (
    BY_BACKEND,
    CARBON,
    ENERGY,
    GRAM,
    IDLE,
    JOULE,
    MET,
    MODEL,
    PER_HOUR,
    PICKED,
    RATE,
    REACHED,
    REQUESTS,
    SLA,
    TEAM_BLIND,
    TOKENS,
    quantile,
    rate,
)


def energy_and_carbon() -> Panels:
    """What requests drew and emitted."""
    return (
        graph(
            "Power attributed to requests",
            {
                "{{part}}": f"sum by (part) (rate({ENERGY}{PICKED}{RATE}))",
                "idle (all teams)": f"sum (rate({IDLE}{RATE}))",
            },
            unit=units.Watt,
            says="Joules per second at the facility: what requests caused (marginal), their share of the active floor "
            "(base), and what backends drew while they served nobody.",
            stacked=True,
        ),
        graph(
            "Tokens per joule by backend",
            {"{{backend}}": f"sum by (backend) (rate({TOKENS}{PICKED}{RATE})) / {rate(ENERGY, PICKED, BY_BACKEND)}"},
            unit=units.Short,
            says="Tokens served per joule of attributed facility energy, input and output together.",
            decimals=2,
        ),
        graph(
            "Joules per request",
            {"{{backend}}": f"{rate(ENERGY, PICKED, BY_BACKEND)} / {rate(REQUESTS, REACHED, BY_BACKEND)}"},
            unit=JOULE,
            says="Attributed facility energy of a request. 3,600 J is one watt-hour.",
        ),
        graph(
            "Carbon per hour",
            {"{{backend}}": f"{rate(CARBON, PICKED, BY_BACKEND)} * {PER_HOUR}"},
            unit=GRAM,
            says="Grams of CO2e per hour of the energy attributed to requests, at each site's grid factor.",
            stacked=True,
        ),
        graph(
            "Tokens per second by kind",
            {"{{kind}}": f"sum by (kind) (rate({TOKENS}{PICKED}{RATE}))"},
            unit=units.Short,
            says="Disjoint kinds: cached input is not in uncached_input, reasoning is not in output.",
            stacked=True,
        ),
        graph(
            "Power of backends and sites",
            {
                "{{backend}}": "max by (backend) (joulegate_backend_power_watts)",
                "{{site}}": "max by (site) (joulegate_site_power_watts)",
                "{{site}} cap": "max by (site) (joulegate_site_power_cap_watts)",
            },
            unit=units.Watt,
            says="Modelled facility power now, idle draw included, and the cap of each site that has one.",
        ),
    )


def service() -> Panels:
    """How requests fared."""
    return (
        graph(
            "Requests per second by outcome",
            {"{{outcome}}": f"sum by (outcome) (rate({REQUESTS}{PICKED}{RATE}))"},
            unit=units.RequestsPerSecond,
            says="How requests ended. Anything but served deserves a look.",
            stacked=True,
        ),
        graph(
            "Time to first token",
            {
                f"p{percent}": quantile(percent / 100, "joulegate_time_to_first_token_seconds", MODEL)
                for percent in (50, 95, 99)
            },
            unit=units.Seconds,
            says="From the request accepted to the first token out." + TEAM_BLIND,
        ),
        graph(
            "Time per output token, p95",
            {"{{backend}}": quantile(0.95, "joulegate_time_per_output_token_seconds", MODEL, "le, backend")},
            unit=units.Seconds,
            says="Mean gap between tokens of a request, its 95th percentile over requests." + TEAM_BLIND,
        ),
        graph(
            "SLA met by class",
            {"{{class}}": f"{rate(SLA, MET, ' by (class)')} / {rate(SLA, '', ' by (class)')}"},
            unit=units.PercentUnit,
            says="Share of served requests that met every bound of their class.",
        ),
        graph(
            "Denials per second",
            {"{{reason}}": f"{rate('joulegate_denials_total', '', ' by (reason)')}"},
            unit=units.RequestsPerSecond,
            says="Requests the gateway itself turned away, by reason.",
            stacked=True,
        ),
        graph(
            "Routing decisions per second",
            {
                "{{reason}}": "sum by (reason) (rate(joulegate_route_decisions_total"
                f'{{model=~"$model",reason=~"cheapest.*|only|fallback|budget|fastest|probe|sticky"}}{RATE}))'
            },
            unit=units.RequestsPerSecond,
            says="Why members were chosen. cheapest_in_sla: a cheaper one would have missed the SLA; fastest: "
            "none met it.",
            stacked=True,
        ),
        graph(
            "Overhead of the gateway",
            {f"p{percent}": quantile(percent / 100, "joulegate_overhead_seconds") for percent in (50, 95, 99)},
            unit=units.Seconds,
            says="What the gateway itself adds to a request, the ledger's two round trips included.",
        ),
        graph(
            "Upstream errors per second",
            {"{{backend}} {{class}}": "sum by (backend, class) (rate(joulegate_upstream_errors_total" + RATE + "))"},
            unit=units.Short,
            says="Attempts that failed upstream. A request may still have been served by another candidate.",
        ),
        graph(
            "Attempts in flight",
            {
                "{{backend}}": "sum by (backend) (joulegate_backend_in_flight)",
                "streams open": "sum (joulegate_active_streams)",
            },
            unit=units.Short,
            says="Attempts in flight per backend, and streams open to clients.",
        ),
        graph(
            "Backends up, breakers",
            {
                "{{backend}} up": "max by (backend) (joulegate_backend_up)",
                "{{backend}} breaker": "max by (backend) (joulegate_breaker_state)",
            },
            unit=units.Short,
            says="up: 1 takes traffic. breaker: 0 closed, 1 half-open, 2 open.",
        ),
        graph(
            "Ledger, p99 by step",
            {"{{step}}": quantile(0.99, "joulegate_ledger_seconds", "", "le, step")},
            unit=units.Seconds,
            says="Seconds per step of the ledger. reserve is on the path of every request.",
        ),
        graph(
            "Event loop lag, p99",
            {"{{instance}}": quantile(0.99, "joulegate_event_loop_lag_seconds", "", "le, instance")},
            unit=units.Seconds,
            says="How late the process wakes. Above 50 ms streams stutter: give it a core, or another worker.",
        ),
    )

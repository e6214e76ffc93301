"""Every metric this gateway exposes, one row each: name, labels, unit and help. Names are a contract; see DESIGN.

Counters hold integers in small units (nano-dollars, millijoules, micrograms) and are divided by `per` when exposed,
so the sum over a process's life is exact. Label values come from closed lists (labels.py), never from callers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeHistogramMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from gateway.domain.amounts import MJ_PER_JOULE, NANOS_PER_USD, UG_PER_GRAM
from gateway.telemetry.histogram import Histogram

Labels = tuple[str, ...]

MILLIWATTS_PER_WATT = 1_000

# Buckets by hand. Bounds of latency meet common SLA bounds (200 ms, 500 ms, 1.5 s; 50 ms a token) exactly, because a
# share "within the bound" can only be read from a bucket that ends there.
TTFT_BOUNDS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 15.0, 30.0, 60.0, 120.0)
TPOT_BOUNDS = (0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0)
DURATION_BOUNDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0, 300.0, 900.0)
OVERHEAD_BOUNDS = (0.00025, 0.0005, 0.00075, 0.001, 0.0015, 0.002, 0.003, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5)
LEDGER_BOUNDS = (0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
LAG_BOUNDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
UTILISATION_BOUNDS = (0.1, 0.25, 0.5, 0.75, 0.8, 0.9, 0.95, 1.0)


@dataclass(frozen=True, slots=True)
class Counter:
    """A figure that only grows. `per`: inner units in one exposed unit."""

    name: str
    help: str
    labels: Labels = ()
    per: int = 1

    def family(self, samples: Iterable[tuple[Labels, int]]) -> Metric:
        """The metric with these samples, divided once (int / int is correctly rounded, however large)."""
        family = CounterMetricFamily(self.name, self.help, labels=self.labels)
        for labels, value in samples:
            family.add_metric(labels, value / self.per)
        return family


@dataclass(frozen=True, slots=True)
class Gauge:
    """A figure that rises and falls. `per`: inner units in one exposed unit."""

    name: str
    help: str
    labels: Labels = ()
    per: int = 1

    def family(self, samples: Iterable[tuple[Labels, int]]) -> Metric:
        """The metric with these samples, divided once."""
        family = GaugeMetricFamily(self.name, self.help, labels=self.labels)
        for labels, value in samples:
            family.add_metric(labels, value / self.per)
        return family


@dataclass(frozen=True, slots=True)
class Distribution:
    """A histogram of observations over the process's life, or of the present (`present`: counts may fall again)."""

    name: str
    help: str
    bounds: tuple[float, ...]
    labels: Labels = ()
    present: bool = False

    def new(self) -> Histogram:
        """An empty histogram with this row's bounds."""
        return Histogram(self.bounds)

    def family(self, samples: Iterable[tuple[Labels, Histogram]]) -> Metric:
        """The metric with these samples."""
        if self.present:
            present = GaugeHistogramMetricFamily(self.name, self.help, labels=self.labels)
            for labels, histogram in samples:
                present.add_metric(labels, histogram.cumulative(), histogram.total)
            return present
        lifelong = HistogramMetricFamily(self.name, self.help, labels=self.labels)
        for labels, histogram in samples:
            lifelong.add_metric(labels, histogram.cumulative(), histogram.total)
        return lifelong


Row = Counter | Gauge | Distribution

ACCOUNT = ("model", "backend", "team")

REQUESTS = Counter(
    "joulegate_requests_total",
    "Requests with a valid key, by how they ended. backend is none where no backend was asked.",
    (*ACCOUNT, "outcome"),
)
TOKENS = Counter(
    "joulegate_tokens_total",
    "Tokens of all attempts. Kinds are disjoint: cached input is not in uncached_input, reasoning not in output.",
    (*ACCOUNT, "kind"),
)
COST = Counter(
    "joulegate_cost_usd_total",
    "Rated cost of all attempts in dollars, equal to what budgets were charged.",
    ACCOUNT,
    NANOS_PER_USD,
)
ENERGY = Counter(
    "joulegate_energy_joules_total",
    "Facility energy attributed to requests: marginal plus their share of the active floor (base). "
    "No series where energy is unknown.",
    (*ACCOUNT, "part"),
    MJ_PER_JOULE,
)
CARBON = Counter(
    "joulegate_carbon_grams_total",
    "CO2e of the energy attributed to requests. No series where it is unknown.",
    ACCOUNT,
    UG_PER_GRAM,
)
BASELINE = Counter(
    "joulegate_baseline_cost_usd_total",
    "What the same usage would have cost on another choice of member; savings are the difference from the rated cost.",
    ("model", "baseline"),
    NANOS_PER_USD,
)
INTERACTIONS = Counter(
    "joulegate_interactions_total",
    "Interactions begun: sessions seen for the first time, and requests that name none. Served requests only.",
    ("model", "team"),
)
SLA = Counter(
    "joulegate_sla_requests_total",
    "Served requests by whether every bound of their SLA class was met.",
    ("class", "backend", "met"),
)
DECISIONS = Counter(
    "joulegate_route_decisions_total",
    "Members chosen (one per attempt) and passed over (one per request), by reason.",
    ("model", "backend", "reason"),
)
DENIALS = Counter("joulegate_denials_total", "Requests turned away by the gateway itself, by reason.", ("reason",))
UPSTREAM_ERRORS = Counter(
    "joulegate_upstream_errors_total", "Attempts that failed upstream, by kind of failure.", ("backend", "class")
)
IDLE_ENERGY = Counter(
    "joulegate_backend_idle_energy_joules_total",
    "Facility energy a backend drew while it served nobody.",
    ("backend",),
    MJ_PER_JOULE,
)
UNSETTLED = Gauge("joulegate_ledger_unsettled", "Ends of holds that wait for Redis to come back and book them.")
UNSETTLED_DROPPED = Counter(
    "joulegate_ledger_unsettled_dropped_total",
    "Ends of holds given up because too many waited; their leases charge the watermark.",
)
HOLDS_EXPIRED = Counter(
    "joulegate_holds_expired_total", "Budget holds that ended by their lease and were charged their watermark."
)

TTFT = Distribution(
    "joulegate_time_to_first_token_seconds",
    "From the request accepted to the first token out to the client.",
    TTFT_BOUNDS,
    ("model", "backend"),
)
TPOT = Distribution(
    "joulegate_time_per_output_token_seconds",
    "Mean seconds per output token after the first, one observation per request.",
    TPOT_BOUNDS,
    ("model", "backend"),
)
DURATION = Distribution(
    "joulegate_request_duration_seconds",
    "From the request accepted to its last byte out.",
    DURATION_BOUNDS,
    ("model", "backend"),
)
OVERHEAD = Distribution(
    "joulegate_overhead_seconds",
    "Seconds the gateway itself added to a request that reached a backend.",
    OVERHEAD_BOUNDS,
)
LEDGER = Distribution(
    "joulegate_ledger_seconds", "Seconds one step of the ledger took, by step.", LEDGER_BOUNDS, ("step",)
)
LAG = Distribution(
    "joulegate_event_loop_lag_seconds", "How late the event loop woke a task that had asked for a time.", LAG_BOUNDS
)

UP = Gauge("joulegate_backend_up", "1 if the backend takes traffic, 0 if it is down or drained.", ("backend",))
IN_FLIGHT = Gauge("joulegate_backend_in_flight", "Attempts in flight on the backend from this process.", ("backend",))
POWER = Gauge(
    "joulegate_backend_power_watts", "Modelled facility power of the backend.", ("backend",), MILLIWATTS_PER_WATT
)
BREAKER = Gauge("joulegate_breaker_state", "Circuit breaker: 0 closed, 1 half-open, 2 open.", ("backend",))
SITE_POWER = Gauge("joulegate_site_power_watts", "Modelled facility power of the site.", ("site",), MILLIWATTS_PER_WATT)
SITE_CAP = Gauge("joulegate_site_power_cap_watts", "Power cap of the site.", ("site",), MILLIWATTS_PER_WATT)
OVERSHOOT = Gauge(
    "joulegate_budget_overshoot_bound_usd",
    "Dollars by which a budget may be passed at most, as declared.",
    ("budget",),
    NANOS_PER_USD,
)
UTILISATION = Distribution(
    "joulegate_budget_utilisation_ratio",
    "Spent plus held over limit of every counter that a budget template made, as they stand now.",
    UTILISATION_BOUNDS,
    ("budget",),
    present=True,
)
STREAMS = Gauge("joulegate_active_streams", "Streams to clients that are open now.")
RELOAD = Gauge(
    "joulegate_config_last_reload_success", "1 if the newest configuration is in force, 0 if it was refused."
)
BUILD = Gauge("joulegate_build_info", "Always 1; the labels say what runs.", ("version", "python"))

RECORDS_WRITTEN = Counter("joulegate_records_written_total", "Usage records written to disk.")
RECORDS_LOST = Counter("joulegate_records_lost_total", "Usage records dropped because disk and memory were full.")
RECORDS_WAITING = Gauge("joulegate_records_waiting", "Usage records in memory, not yet written.")
RECORDS_WAITING_MAX = Gauge("joulegate_records_waiting_max", "Waiting records above which new requests get 503.")
RECORD_FILES_EXPIRED = Counter(
    "joulegate_record_files_expired_total", "Record files removed because of their age or of the space they took."
)
RECORD_WRITE_ERRORS = Counter("joulegate_record_write_errors_total", "Attempts to write usage records that failed.")

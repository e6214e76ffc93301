"""The workers' metrics as one: counters and histograms are summed, each gauge by the rule declared for it here.

prometheus-client's multiprocess mode loses Info, exemplars and custom collectors, so we read what each worker exposes
and add it up. A worker that died leaves its last counters behind (`Remains`), so that no sum ever falls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

Rule = Callable[[Iterable[float]], float]
Key = tuple[str, tuple[tuple[str, str], ...]]
SUMMED_TYPES = frozenset({"counter", "histogram", "summary", "gaugehistogram"})

# What all workers tell alike (budgets, sites: read from Redis or from the file) may be taken from any: max.
# Each worker models a backend's whole power, floor included, so a sum would count the floor once per worker.
GAUGE_RULES: Mapping[str, Rule] = {
    "joulegate_backend_up": min,
    "joulegate_backend_in_flight": sum,
    "joulegate_backend_power_watts": max,
    "joulegate_breaker_state": max,
    "joulegate_site_power_watts": max,
    "joulegate_site_power_cap_watts": max,
    "joulegate_budget_overshoot_bound_usd": max,
    "joulegate_budget_utilisation_ratio": max,
    "joulegate_active_streams": sum,
    "joulegate_config_last_reload_success": min,
    "joulegate_build_info": max,
    "joulegate_ledger_unsettled": sum,
    "joulegate_records_waiting": sum,
    "joulegate_records_waiting_max": sum,
    "process_resident_memory_bytes": sum,
    "process_virtual_memory_bytes": sum,
    "process_open_fds": sum,
    "process_max_fds": sum,
    "process_start_time_seconds": min,
}
BUDGET_GAUGES = ("joulegate_budget_limit_", "joulegate_budget_spent_", "joulegate_budget_held_")
# A backend is idle when no worker uses it: each worker's figure is an upper bound, the least is the nearest.
COUNTER_RULES: Mapping[str, Rule] = {"joulegate_backend_idle_energy_joules": min}


def rule_of(name: str, kind: str) -> Rule | None:
    """How samples of this family become one; None for a gauge that nobody declared."""
    if name.startswith(BUDGET_GAUGES) or name == "joulegate_budget_utilisation_ratio":
        return max
    if name in COUNTER_RULES:
        return COUNTER_RULES[name]
    if kind in SUMMED_TYPES:
        return sum
    return GAUGE_RULES.get(name)


def read_families(exposition: str) -> list[Metric]:
    """Families of one worker's text."""
    return list(text_string_to_metric_families(exposition))


def merge(workers: Sequence[Iterable[Metric]]) -> list[Metric]:
    """One family per name, in the order first seen. A gauge without a rule is left out: silence before a wrong sum."""
    merged: dict[str, Metric] = {}
    values: dict[str, dict[Key, list[float]]] = {}
    for families in workers:
        for family in families:
            if family.name not in merged:
                merged[family.name] = Metric(family.name, family.documentation, family.type)
                values[family.name] = {}
            for sample in family.samples:
                key = (sample.name, tuple(sorted(sample.labels.items())))
                values[family.name].setdefault(key, []).append(sample.value)
    for name, family in merged.items():
        rule = rule_of(name, family.type)
        if rule is not None:
            family.samples = [
                Sample(sample, dict(labels), rule(found)) for (sample, labels), found in values[name].items()
            ]
    return [family for family in merged.values() if family.samples]


class Remains:
    """What dead workers had counted."""

    def __init__(self) -> None:
        self._families: list[Metric] = []

    def add(self, families: Iterable[Metric]) -> None:
        """A worker ended with these figures: keep what only grows."""
        kept = [family for family in families if family.type in {"counter", "histogram"} and not _of_process(family)]
        self._families = merge([self._families, kept])

    def families(self) -> list[Metric]:
        """As one more worker's figures."""
        return self._families


def _of_process(family: Metric) -> bool:
    """Figures that end with their process, and an upper bound that its successor starts anew."""
    return family.name.startswith("process_") or family.name in COUNTER_RULES


class Merged(Collector):
    """Collects what was merged last."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> Iterable[Metric]:
        """The families."""
        return self._families


def expose(families: Iterable[Metric], accept: str) -> tuple[bytes, str]:
    """Text and its content type, in the format an Accept header asks for."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Merged(families))
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type

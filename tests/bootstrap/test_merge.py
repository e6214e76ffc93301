"""Workers' metrics become one, by a rule declared for each."""

from __future__ import annotations

import dataclasses

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.core import Metric

from gateway.bootstrap.merge import Remains, expose, merge, read_families, rule_of
from gateway.domain.amounts import Unit
from gateway.telemetry import catalogue
from gateway.telemetry.budgets import EXPOSED_UNITS, gauge


def worker(requests: float, streams: float, up: float = 1, idle: float = 5.0) -> list[Metric]:
    return read_families(
        f"""# TYPE joulegate_requests_total counter
joulegate_requests_total{{model="chat"}} {requests}
# TYPE joulegate_active_streams gauge
joulegate_active_streams {streams}
# TYPE joulegate_backend_up gauge
joulegate_backend_up{{backend="a"}} {up}
# TYPE joulegate_backend_idle_energy_joules_total counter
joulegate_backend_idle_energy_joules_total{{backend="a"}} {idle}
# TYPE joulegate_budget_spent_usd gauge
joulegate_budget_spent_usd{{budget="b"}} 2.5
# TYPE joulegate_overhead_seconds histogram
joulegate_overhead_seconds_bucket{{le="0.001"}} {requests}
joulegate_overhead_seconds_bucket{{le="+Inf"}} {requests}
joulegate_overhead_seconds_sum 0.5
joulegate_overhead_seconds_count {requests}
"""
    )


def value(families: list[Metric], name: str) -> float:
    (found,) = [sample.value for family in families for sample in family.samples if sample.name == name]
    return found


def test_counters_and_histograms_are_summed() -> None:
    merged = merge([worker(3, 0), worker(4, 0)])

    assert value(merged, "joulegate_requests_total") == 7
    assert value(merged, "joulegate_overhead_seconds_count") == 7
    assert value(merged, "joulegate_overhead_seconds_sum") == 1.0


def test_what_all_workers_tell_alike_is_told_once() -> None:
    merged = merge([worker(1, 0), worker(1, 0)])

    assert value(merged, "joulegate_budget_spent_usd") == 2.5


def test_streams_are_summed_and_a_backend_is_up_only_if_every_worker_reaches_it() -> None:
    merged = merge([worker(1, 2, up=1), worker(1, 3, up=0)])

    assert value(merged, "joulegate_active_streams") == 5
    assert value(merged, "joulegate_backend_up") == 0


def test_a_backend_idles_only_while_no_worker_uses_it() -> None:
    merged = merge([worker(1, 0, idle=5.0), worker(1, 0, idle=3.0)])

    assert value(merged, "joulegate_backend_idle_energy_joules_total") == 3.0


def test_a_dead_workers_counters_stay_in_the_sum_and_its_states_do_not() -> None:
    remains = Remains()
    remains.add(worker(10, 4))

    merged = merge([remains.families(), worker(1, 2)])

    assert value(merged, "joulegate_requests_total") == 11
    assert value(merged, "joulegate_overhead_seconds_count") == 11
    assert value(merged, "joulegate_active_streams") == 2


def test_a_gauge_without_a_rule_is_left_out() -> None:
    assert merge([read_families("# TYPE some_gauge gauge\nsome_gauge 1\n")]) == []


def test_every_metric_of_the_catalogue_has_a_rule() -> None:
    rows = [row for row in vars(catalogue).values() if isinstance(row, catalogue.Counter | catalogue.Gauge)]
    kinds = {catalogue.Counter: "counter", catalogue.Gauge: "gauge"}
    budgets = [gauge(part, unit) for part in ("limit", "spent", "held") for unit in EXPOSED_UNITS if unit in Unit]

    without = [
        row.name for row in [*rows, *budgets] if rule_of(row.name.removesuffix("_total"), kinds[type(row)]) is None
    ]

    assert len(rows) > 20
    assert without == []
    assert all(dataclasses.is_dataclass(row) for row in rows)


def test_the_merged_text_is_read_back_as_it_was() -> None:
    text, content_type = expose(merge([worker(3, 1)]), "text/plain")

    assert content_type.startswith("text/plain")
    assert value(read_families(text.decode()), "joulegate_requests_total") == 3


@given(st.lists(st.integers(min_value=0, max_value=10**9), min_size=1, max_size=6), st.integers(0, 5))
def test_however_many_workers_died_the_sum_is_what_all_ever_counted(counts: list[int], died: int) -> None:
    remains = Remains()
    for count in counts[:died]:
        remains.add(worker(count, 0))

    merged = merge([remains.families(), *(worker(count, 0) for count in counts[died:])])

    assert value(merged, "joulegate_requests_total") == sum(counts)

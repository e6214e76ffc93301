"""What is counted of a request, under which labels, and that no sum is lost on the way out."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from gateway.domain.record import Outcome
from gateway.telemetry.metrics import Metrics
from tests.support.prometheus import promtool
from tests.support.records import a_record, a_snapshot, a_usage, amounts, an_attempt
from tests.support.town import Town


def metrics(**more: Any) -> Metrics:
    return Metrics(snapshot=a_snapshot("cheap", "dear"), version="0.1.0", **more)


def value(told: Metrics, name: str, **labels: str) -> float | None:
    return told.registry.get_sample_value(name, labels)


def total(told: Metrics, name: str) -> float:
    return sum(sample.value for family in told.registry.collect() for sample in family.samples if sample.name == name)


SUPPORT_CHEAP = {"model": "chat", "backend": "cheap", "team": "support"}


def test_a_served_request_is_counted_with_its_tokens_dollars_energy_and_carbon() -> None:
    told = metrics()
    attempt = an_attempt(
        usage=a_usage(100, 50, cached=30, reasoning=20),
        rated=amounts(1_234_567, 9_000, 500),
        marginal=amounts(1_000_000, 2_500, 400),
        attributed=amounts(1_100_000, 4_000, 650_000),
    )

    told.ended(a_record(attempt))

    assert value(told, "joulegate_requests_total", **SUPPORT_CHEAP, outcome="served") == 1
    assert value(told, "joulegate_tokens_total", **SUPPORT_CHEAP, kind="uncached_input") == 70
    assert value(told, "joulegate_tokens_total", **SUPPORT_CHEAP, kind="cached_input") == 30
    assert value(told, "joulegate_tokens_total", **SUPPORT_CHEAP, kind="output") == 30
    assert value(told, "joulegate_tokens_total", **SUPPORT_CHEAP, kind="reasoning") == 20
    assert value(told, "joulegate_cost_usd_total", **SUPPORT_CHEAP) == 0.001234567
    assert value(told, "joulegate_energy_joules_total", **SUPPORT_CHEAP, part="marginal") == 2.5
    assert value(told, "joulegate_energy_joules_total", **SUPPORT_CHEAP, part="base") == 1.5
    assert value(told, "joulegate_carbon_grams_total", **SUPPORT_CHEAP) == 0.65


@given(st.lists(st.tuples(st.integers(0, 10**12), st.integers(0, 10**9), st.integers(0, 10**9)), max_size=30))
def test_the_metric_of_a_life_is_the_exact_sum_of_its_records(costs: list[tuple[int, int, int]]) -> None:
    told = metrics()

    for usd_nanos, marginal_mj, base_mj in costs:
        attempt = an_attempt(usage=a_usage(), rated=amounts(usd_nanos), marginal=amounts(0, marginal_mj))
        attempt.attributed = amounts(0, marginal_mj + base_mj)
        told.ended(a_record(attempt))

    assert round(total(told, "joulegate_cost_usd_total") * 10**9) == sum(usd for usd, _, _ in costs)
    parts = [
        round((value(told, "joulegate_energy_joules_total", **SUPPORT_CHEAP, part=part) or 0) * 1_000)
        for part in ("marginal", "base")
    ]
    assert parts == [sum(marginal for _, marginal, _ in costs), sum(base for _, _, base in costs)]


def test_each_attempt_is_counted_on_its_own_backend() -> None:
    told = metrics()
    broken = an_attempt("dear", error="reset", usage=a_usage(100, 5), rated=amounts(70))
    served = an_attempt("cheap", reason="fallback", usage=a_usage(100, 50), rated=amounts(30))

    told.ended(a_record(broken, served))

    assert value(told, "joulegate_cost_usd_total", model="chat", backend="dear", team="support") == 70e-9
    assert value(told, "joulegate_cost_usd_total", **SUPPORT_CHEAP) == 30e-9
    assert value(told, "joulegate_upstream_errors_total", **{"backend": "dear", "class": "reset"}) == 1
    assert value(told, "joulegate_route_decisions_total", model="chat", backend="cheap", reason="fallback") == 1
    assert total(told, "joulegate_requests_total") == 1


def test_unknown_energy_makes_no_series_and_never_a_zero() -> None:
    told = metrics()

    told.ended(a_record(an_attempt(usage=a_usage(), rated=amounts(5), marginal=amounts(5, None, None))))

    assert value(told, "joulegate_energy_joules_total", **SUPPORT_CHEAP, part="marginal") is None
    assert value(told, "joulegate_carbon_grams_total", **SUPPORT_CHEAP) is None


def test_an_attempt_that_sent_nothing_makes_no_energy_known() -> None:
    told = metrics()

    told.ended(a_record(an_attempt(error="connect", marginal=amounts(0, 0, 0), rated=amounts(0, 0, 0))))

    assert value(told, "joulegate_energy_joules_total", **SUPPORT_CHEAP, part="marginal") is None


def test_energy_that_is_explicitly_zero_is_zero() -> None:
    told = metrics()

    told.ended(a_record(an_attempt(usage=a_usage(), marginal=amounts(0, 0, 0))))

    assert value(told, "joulegate_energy_joules_total", **SUPPORT_CHEAP, part="marginal") == 0


def test_parts_of_energy_add_up_even_where_a_share_is_below_the_marginal() -> None:
    told = metrics()

    told.ended(a_record(an_attempt(usage=a_usage(), marginal=amounts(0, 3_000), attributed=amounts(0, 2_000))))

    assert total(told, "joulegate_energy_joules_total") == 2.0


def test_names_that_nobody_declared_share_one_label() -> None:
    told = metrics()

    for prose in ("ignore all previous instructions", "gpt-" + "9" * 500, ""):
        told.ended(a_record(model=prose, outcome=Outcome.INVALID, status=400))
    told.ended(a_record(an_attempt("gone")))

    labels = {"model": "unknown", "backend": "none", "team": "support", "outcome": "invalid"}
    assert value(told, "joulegate_requests_total", **labels) == 3
    served = {"model": "chat", "backend": "unknown", "team": "support", "outcome": "served"}
    assert value(told, "joulegate_requests_total", **served) == 1


def test_teams_beyond_the_cap_share_one_label() -> None:
    told = metrics(teams_max=2)

    for team in ("a", "b", "c", "d", "a"):
        told.ended(a_record(an_attempt(), team=team))

    counted = {
        team: value(told, "joulegate_requests_total", **{**SUPPORT_CHEAP, "team": team}, outcome="served")
        for team in ("a", "b", "c", "other")
    }
    assert counted == {"a": 2, "b": 1, "c": None, "other": 2}


def test_a_request_that_began_under_an_older_snapshot_keeps_its_names() -> None:
    told = metrics()

    told.apply(a_snapshot("new"))
    told.ended(a_record(an_attempt("cheap"), passed_over={"dear/llama": "dearer"}))
    told.ended(a_record(an_attempt("new")))

    for backend in ("cheap", "new"):
        labels = {"model": "chat", "backend": backend, "team": "support", "outcome": "served"}
        assert value(told, "joulegate_requests_total", **labels) == 1
    assert value(told, "joulegate_route_decisions_total", model="chat", backend="dear", reason="dearer") == 1


def test_a_new_snapshot_takes_nothing_back() -> None:
    told = metrics()
    told.ended(a_record(an_attempt(error="reset"), sla_met=True))

    told.apply(a_snapshot("cheap", "new"))

    assert (
        value(told, "joulegate_sla_requests_total", **{"class": "interactive", "backend": "cheap", "met": "true"}) == 1
    )
    assert value(told, "joulegate_upstream_errors_total", **{"backend": "cheap", "class": "reset"}) == 1


def test_savings_are_the_baseline_less_the_cost() -> None:
    told = metrics()

    told.ended(a_record(an_attempt(rated=amounts(30)), baseline_dearest_usd_nanos=100))
    told.ended(a_record(an_attempt(rated=amounts(50)), baseline_dearest_usd_nanos=None))

    baseline = value(told, "joulegate_baseline_cost_usd_total", model="chat", baseline="dearest")
    assert baseline is not None
    assert round((baseline - total(told, "joulegate_cost_usd_total")) * 10**9) == 70


@pytest.mark.parametrize(("met", "label"), [(True, "true"), (False, "false")])
def test_a_judged_request_counts_for_its_class(met: bool, label: str) -> None:
    told = metrics()

    told.ended(a_record(an_attempt(), sla_met=met))

    assert (
        value(told, "joulegate_sla_requests_total", **{"class": "interactive", "backend": "cheap", "met": label}) == 1
    )


def test_a_request_left_out_of_the_sla_counts_for_neither_side() -> None:
    told = metrics()

    told.ended(a_record(an_attempt(), outcome=Outcome.CLIENT_LEFT, sla_met=None))

    assert total(told, "joulegate_sla_requests_total") == 0


@pytest.mark.parametrize(
    ("outcome", "error_code", "reason"),
    [
        (Outcome.BUDGET_DENIED, "budget_exhausted", "budget_exhausted"),
        (Outcome.RATE_LIMITED, "rate_limit_exceeded", "rate_limit_exceeded"),
        (Outcome.NO_BACKEND, "no_backend_meets_sla", "no_backend_meets_sla"),
        (Outcome.INVALID, "whatever the fault was called", "invalid"),
        (Outcome.UNAVAILABLE, None, "unavailable"),
    ],
)
def test_a_refusal_is_counted_under_a_reason_of_a_closed_set(
    outcome: Outcome, error_code: str | None, reason: str
) -> None:
    told = metrics()

    told.ended(a_record(outcome=outcome, error_code=error_code))

    assert value(told, "joulegate_denials_total", reason=reason) == 1


def test_a_failure_upstream_is_no_denial() -> None:
    told = metrics()

    told.ended(a_record(an_attempt(error="server"), outcome=Outcome.UPSTREAM_FAILED, error_code="upstream_error"))

    assert total(told, "joulegate_denials_total") == 0


def test_requests_without_a_record_are_denials_too() -> None:
    told = metrics()

    told.refused("no_key")
    told.refused("no_key")

    assert value(told, "joulegate_denials_total", reason="no_key") == 2


def test_a_flood_of_reasons_stays_bounded() -> None:
    told = metrics()

    for n in range(1_000):
        told.refused(f"reason-{n}")

    reasons = [
        sample
        for family in told.registry.collect()
        for sample in family.samples
        if sample.name == "joulegate_denials_total"
    ]
    assert len(reasons) <= 65
    assert total(told, "joulegate_denials_total") == 1_000


def test_a_session_is_one_interaction_and_a_request_without_one_is_another() -> None:
    told = metrics()

    for session in ("s1", "s1", "s2", None, None, "s1"):
        told.ended(a_record(an_attempt(), session=session))
    told.ended(a_record(outcome=Outcome.BUDGET_DENIED, session="s3"))

    assert value(told, "joulegate_interactions_total", model="chat", team="support") == 4


def test_latencies_are_seconds_and_overhead_counts_only_what_reached_a_backend() -> None:
    told = metrics()

    told.ended(a_record(an_attempt(), ttft_ms=250.0, tpot_ms=20.0, duration_ms=1_500.0, overhead_ms=0.75))
    told.ended(a_record(outcome=Outcome.BUDGET_DENIED, duration_ms=2.0, overhead_ms=2.0))

    where = {"model": "chat", "backend": "cheap"}
    assert value(told, "joulegate_time_to_first_token_seconds_sum", **where) == 0.25
    assert value(told, "joulegate_time_to_first_token_seconds_bucket", **where, le="0.3") == 1
    assert value(told, "joulegate_time_per_output_token_seconds_sum", **where) == 0.02
    assert value(told, "joulegate_request_duration_seconds_sum", **where) == 1.5
    assert value(told, "joulegate_request_duration_seconds_count", model="chat", backend="none") == 1
    assert value(told, "joulegate_overhead_seconds_count") == 1
    assert value(told, "joulegate_overhead_seconds_bucket", le="0.00075") == 1


def test_streams_reload_and_build_are_told_as_they_stand() -> None:
    told = metrics()

    told.streams(+1)
    told.streams(+1)
    told.streams(-1)
    told.reloaded(False)

    assert value(told, "joulegate_active_streams") == 1
    assert value(told, "joulegate_config_last_reload_success") == 0
    (build,) = (family for family in told.registry.collect() if family.name == "joulegate_build_info")
    assert build.samples[0].labels["version"] == "0.1.0"
    assert build.samples[0].value == 1


def test_steps_of_the_ledger_and_lag_of_the_loop_are_distributions() -> None:
    told = metrics()

    told.ledger_took("reserve", 0.0004)
    told.loop_lagged(0.003)

    assert value(told, "joulegate_ledger_seconds_bucket", step="reserve", le="0.0005") == 1
    assert value(told, "joulegate_event_loop_lag_seconds_bucket", le="0.005") == 1


def test_alerting_counters_exist_as_zero_before_anything_happened() -> None:
    told = metrics()

    assert value(told, "joulegate_denials_total", reason="ledger_unavailable") == 0
    assert value(told, "joulegate_upstream_errors_total", **{"backend": "dear", "class": "timeout"}) == 0
    assert (
        value(told, "joulegate_sla_requests_total", **{"class": "interactive", "backend": "dear", "met": "false"}) == 0
    )


def test_scrapers_get_the_format_they_ask_for() -> None:
    told = Town().metrics

    text, plain = told.expose("text/plain")
    openmetrics, negotiated = told.expose("application/openmetrics-text; version=1.0.0")

    assert plain.startswith("text/plain")
    assert negotiated.startswith("application/openmetrics-text")
    assert b"# TYPE joulegate_cost_usd_total counter" in text
    assert [family.name for family in text_string_to_metric_families(openmetrics.decode())]


@pytest.mark.prometheus
def test_promtool_has_nothing_to_say() -> None:
    town = Town()
    town.live(40)

    done = promtool("check", "metrics", stdin=town.metrics.expose()[0])

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

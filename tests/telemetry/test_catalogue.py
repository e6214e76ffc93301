"""The contract of names and labels, written by hand a second time: dashboards and alerts of others rely on it."""

from __future__ import annotations

from tests.support.town import Town

ACCOUNT = {"model", "backend", "team"}
PROMISED: dict[str, set[str]] = {
    "joulegate_requests_total": ACCOUNT | {"outcome"},
    "joulegate_tokens_total": ACCOUNT | {"kind"},
    "joulegate_cost_usd_total": ACCOUNT,
    "joulegate_energy_joules_total": ACCOUNT | {"part"},
    "joulegate_carbon_grams_total": ACCOUNT,
    "joulegate_backend_idle_energy_joules_total": {"backend"},
    "joulegate_baseline_cost_usd_total": {"model", "baseline"},
    "joulegate_time_to_first_token_seconds_count": {"model", "backend"},
    "joulegate_time_per_output_token_seconds_count": {"model", "backend"},
    "joulegate_request_duration_seconds_count": {"model", "backend"},
    "joulegate_overhead_seconds_count": set(),
    "joulegate_sla_requests_total": {"class", "backend", "met"},
    "joulegate_route_decisions_total": {"model", "backend", "reason"},
    "joulegate_denials_total": {"reason"},
    "joulegate_upstream_errors_total": {"backend", "class"},
    "joulegate_breaker_state": {"backend"},
    "joulegate_backend_up": {"backend"},
    "joulegate_backend_in_flight": {"backend"},
    "joulegate_backend_power_watts": {"backend"},
    "joulegate_site_power_watts": {"site"},
    "joulegate_site_power_cap_watts": {"site"},
    "joulegate_active_streams": set(),
    "joulegate_holds_expired_total": set(),
    "joulegate_ledger_unsettled": set(),
    "joulegate_ledger_unsettled_dropped_total": set(),
    "joulegate_budget_overshoot_bound_usd": {"budget"},
    "joulegate_ledger_seconds_count": {"step"},
    "joulegate_event_loop_lag_seconds_count": set(),
    "joulegate_config_last_reload_success": set(),
    "joulegate_build_info": {"version", "python"},
    "joulegate_interactions_total": {"model", "team"},
    "joulegate_budget_utilisation_ratio_gcount": {"budget"},
    **{
        f"joulegate_budget_{part}_{unit}": {"budget"}
        for part in ("limit", "spent", "held")
        for unit in ("usd", "joules", "grams", "tokens", "requests")
    },
    "joulegate_records_written_total": set(),
    "joulegate_records_lost_total": set(),
    "joulegate_records_waiting": set(),
    "joulegate_records_waiting_max": set(),
    "joulegate_record_files_expired_total": set(),
    "joulegate_record_write_errors_total": set(),
}
PARTS = ("_bucket", "_sum", "_gsum")  # of a histogram, beside its count


def test_exactly_the_promised_names_are_exposed_with_the_promised_labels() -> None:
    town = Town()
    town.live(40)

    exposed: dict[str, set[str]] = {
        sample.name: set(sample.labels)
        for family in town.metrics.registry.collect()
        for sample in family.samples
        if sample.name.startswith("joulegate_") and not sample.name.endswith(PARTS)
    }

    assert exposed == PROMISED


def test_every_metric_says_what_it_is() -> None:
    for family in Town().metrics.registry.collect():
        assert len(family.documentation) > 15, family.name

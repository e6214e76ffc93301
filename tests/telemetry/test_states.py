"""What others know, as gauges: only what is known."""

from __future__ import annotations

from gateway.telemetry.metrics import Metrics
from gateway.telemetry.views import BackendView, RecorderView, SiteView, Views
from tests.support.records import a_snapshot


def told(views: Views) -> Metrics:
    return Metrics(snapshot=a_snapshot(), version="1", views=views)


def test_backends_show_health_load_breaker_and_power() -> None:
    backends = (BackendView("gpu", True, 7, "half_open", 1_250_000, 3_600_000), BackendView("api", False, 0, "open"))
    registry = told(Views(backends=lambda: backends)).registry

    assert registry.get_sample_value("joulegate_backend_up", {"backend": "gpu"}) == 1
    assert registry.get_sample_value("joulegate_backend_up", {"backend": "api"}) == 0
    assert registry.get_sample_value("joulegate_backend_in_flight", {"backend": "gpu"}) == 7
    assert registry.get_sample_value("joulegate_breaker_state", {"backend": "gpu"}) == 1
    assert registry.get_sample_value("joulegate_breaker_state", {"backend": "api"}) == 2
    assert registry.get_sample_value("joulegate_backend_power_watts", {"backend": "gpu"}) == 1_250
    assert registry.get_sample_value("joulegate_backend_idle_energy_joules_total", {"backend": "gpu"}) == 3_600
    assert registry.get_sample_value("joulegate_backend_power_watts", {"backend": "api"}) is None


def test_a_site_without_a_cap_shows_none() -> None:
    sites = (SiteView("sydney", 900_000, 40_000_000), SiteView("home", 5_000))
    registry = told(Views(sites=lambda: sites)).registry

    assert registry.get_sample_value("joulegate_site_power_watts", {"site": "sydney"}) == 900
    assert registry.get_sample_value("joulegate_site_power_cap_watts", {"site": "sydney"}) == 40_000
    assert registry.get_sample_value("joulegate_site_power_cap_watts", {"site": "home"}) is None


def test_the_recorder_and_the_ledger_tell_what_was_lost() -> None:
    recorder = RecorderView(written=10, lost=1, waiting=3, waiting_max=4_096, files_expired=2, write_errors=5)
    views = Views(recorder=lambda: recorder, holds_expired=lambda: 4, unsettled=lambda: 6, unsettled_dropped=lambda: 7)
    registry = told(views).registry

    assert registry.get_sample_value("joulegate_records_written_total") == 10
    assert registry.get_sample_value("joulegate_records_lost_total") == 1
    assert registry.get_sample_value("joulegate_records_waiting") == 3
    assert registry.get_sample_value("joulegate_records_waiting_max") == 4_096
    assert registry.get_sample_value("joulegate_record_files_expired_total") == 2
    assert registry.get_sample_value("joulegate_record_write_errors_total") == 5
    assert registry.get_sample_value("joulegate_holds_expired_total") == 4
    assert registry.get_sample_value("joulegate_ledger_unsettled") == 6
    assert registry.get_sample_value("joulegate_ledger_unsettled_dropped_total") == 7

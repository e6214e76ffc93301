"""Backends, sites and the recorder as gauges, read from the views at each scrape."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import Metric

from gateway.telemetry import catalogue as rows
from gateway.telemetry.views import BREAKER_VALUES, Views


def state_families(views: Views) -> Iterator[Metric]:
    """Backends, sites and the recorder as they stand."""
    backends, sites, recorder = tuple(views.backends()), tuple(views.sites()), views.recorder()
    yield rows.UP.family(((view.name,), int(view.up)) for view in backends)
    yield rows.IN_FLIGHT.family(((view.name,), view.in_flight) for view in backends)
    yield rows.BREAKER.family(((view.name,), BREAKER_VALUES[view.breaker]) for view in backends)
    yield rows.POWER.family(((view.name,), view.power_mw) for view in backends if view.power_mw is not None)
    yield rows.IDLE_ENERGY.family(((view.name,), view.idle_mj) for view in backends if view.idle_mj is not None)
    yield rows.SITE_POWER.family(((view.name,), view.power_mw) for view in sites if view.power_mw is not None)
    yield rows.SITE_CAP.family(((view.name,), view.power_cap_mw) for view in sites if view.power_cap_mw is not None)
    yield rows.HOLDS_EXPIRED.family([((), views.holds_expired())])
    yield rows.UNSETTLED.family([((), views.unsettled())])
    yield rows.UNSETTLED_DROPPED.family([((), views.unsettled_dropped())])
    yield rows.RECORDS_WRITTEN.family([((), recorder.written)])
    yield rows.RECORDS_LOST.family([((), recorder.lost)])
    yield rows.RECORDS_WAITING.family([((), recorder.waiting)])
    yield rows.RECORDS_WAITING_MAX.family([((), recorder.waiting_max)])
    yield rows.RECORD_FILES_EXPIRED.family([((), recorder.files_expired)])
    yield rows.RECORD_WRITE_ERRORS.family([((), recorder.write_errors)])

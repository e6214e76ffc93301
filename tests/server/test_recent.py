from __future__ import annotations

from gateway.server.recent import Recent
from tests.server.office import a_record


def test_the_oldest_is_forgotten_first_and_the_newest_comes_first() -> None:
    recent = Recent(records_max=3)
    for number in range(5):
        recent.add(a_record(number))

    assert [view["request_id"] for view in recent.last(10)] == ["req-4", "req-3", "req-2"]
    assert recent.decision("req-1") is None


def test_unknown_cost_and_energy_are_null_not_zero() -> None:
    recent = Recent()
    recent.add(a_record(4))

    [view] = recent.last(1)
    assert (view["usd"], view["joules"], view["reason"]) == (None, None, "budget_exhausted")


def test_a_served_request_shows_what_it_cost() -> None:
    recent = Recent()
    recent.add(a_record(0))

    [view] = recent.last(1)
    assert (view["usd"], view["joules"], view["backend"], view["reason"]) == (
        0.000212,
        61.0,
        "gpu-a",
        "cheapest_in_sla",
    )

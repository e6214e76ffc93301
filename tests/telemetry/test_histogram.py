"""Buckets that add up, upper bounds inclusive, as Prometheus reads them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.telemetry.histogram import Histogram


def test_an_observation_on_a_bound_belongs_to_its_bucket() -> None:
    histogram = Histogram((0.1, 0.5))

    for value in (0.05, 0.1, 0.100001, 0.5, 7.0):
        histogram.observe(value)

    assert histogram.cumulative() == [("0.1", 2.0), ("0.5", 4.0), ("+Inf", 5.0)]
    assert histogram.count == 5
    assert histogram.total == 7.750001


@given(st.lists(st.floats(0, 10)), st.lists(st.floats(0.001, 9), min_size=1, unique=True).map(sorted))
def test_each_bucket_holds_what_is_at_or_below_its_bound(values: list[float], bounds: list[float]) -> None:
    histogram = Histogram(tuple(bounds))

    for value in values:
        histogram.observe(value)

    plain = [float(sum(value <= bound for value in values)) for bound in bounds]
    assert [count for _, count in histogram.cumulative()] == [*plain, float(len(values))]

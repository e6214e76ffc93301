"""The published bound, worked out by hand."""

from __future__ import annotations

from dataclasses import replace

from gateway.domain.budgets import Mode
from gateway.domain.catalog import Backend, Limits
from gateway.pipeline.overshoot import overshoot_bounds
from tests.pipeline.fakes import a_budget, a_member, a_snapshot


def test_the_bound_is_the_dearest_uncovered_answer_times_the_requests_at_once() -> None:
    members = a_member("cheap", 10, output_tokens_max=1_000), a_member("dear", 50, output_tokens_max=100)
    backends = [Backend("cheap", "http://a", concurrent_max=3), Backend("dear", "http://b", concurrent_max=4)]
    snapshot = replace(a_snapshot(*members, budgets=[a_budget(1)], backends=backends), limits=Limits(choices=2))

    # 1,000 tokens x 2 choices x 10 nano-dollars, on 3 + 4 requests at once
    assert overshoot_bounds(snapshot) == {"small": 140_000}


def test_the_doors_own_limit_bounds_it_too() -> None:
    snapshot = a_snapshot(a_member("cheap", 10, output_tokens_max=1_000), budgets=[a_budget(1)])

    few = replace(snapshot, limits=Limits(choices=1, concurrent_requests=2))

    assert overshoot_bounds(few) == {"small": 20_000}


def test_a_budget_that_only_observes_promises_nothing() -> None:
    watched = replace(a_budget(1), mode=Mode.OBSERVE)

    assert overshoot_bounds(a_snapshot(a_member("cheap"), budgets=[watched])) == {}


def test_a_free_member_can_not_overspend() -> None:
    assert overshoot_bounds(a_snapshot(a_member("free", 0), budgets=[a_budget(1)])) == {"small": 0}

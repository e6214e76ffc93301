"""Three members: swift is dear, steady in between, thrifty cheap and slow."""

from dataclasses import replace
from random import Random

import pytest

from gateway.domain.catalog import Objective, SlaClass
from gateway.domain.faults import FailureKind
from gateway.domain.route import Quote, Reason, Reject, Route
from gateway.policy.breaker import Phase
from gateway.policy.router import SESSIONS_MAX, Router
from tests.policy.house import (
    a_member,
    a_quote,
    always,
    an_ask,
    answer,
    choice_of,
    decide,
    names,
    never,
    reasons,
    serve,
)

SWIFT = a_quote(a_member("swift", ttft_ms=50.0, tpot_ms=5.0), usd_nanos=10_000, energy_mj=50)
STEADY = a_quote(a_member("steady", ttft_ms=200.0, tpot_ms=15.0), usd_nanos=2_000, energy_mj=90)
THRIFTY = a_quote(a_member("thrifty", ttft_ms=900.0, tpot_ms=30.0), usd_nanos=300, energy_mj=20)
POOL = (SWIFT, STEADY, THRIFTY)

LOOSE = SlaClass("loose", ttft_ms=10_000, tpot_ms=500)
TIGHT = SlaClass("tight", ttft_ms=600, tpot_ms=60)
TIGHTER = SlaClass("tighter", ttft_ms=150, tpot_ms=20)
IMPOSSIBLE = SlaClass("impossible", ttft_ms=5, tpot_ms=1)


def fail(router: Router, ask: object, backend: str, kind: FailureKind, now: float, **more: object) -> None:
    ticket = router.on_start(ask, choice_of(router, ask, now, backend), now)  # type: ignore[arg-type]
    router.on_end(ticket, now, output_tokens=0, failure=kind, client_left=False, **more)  # type: ignore[arg-type]


# ---- which one ---------------------------------------------------------------------------------------------------


def test_with_a_loose_sla_the_cheapest_serves() -> None:
    route = Router(never).choose(an_ask(*POOL, sla=LOOSE), 0.0)

    assert names(route) == ["thrifty", "steady", "swift"]
    assert reasons(route) == {"thrifty": "cheapest", "steady": "dearer", "swift": "dearer"}


def test_with_a_tight_sla_the_cheapest_that_meets_it_serves() -> None:
    route = Router(never).choose(an_ask(*POOL, sla=TIGHT), 0.0)

    assert names(route) == ["steady", "swift", "thrifty"]
    assert reasons(route) == {"steady": "cheapest_in_sla", "swift": "dearer", "thrifty": "misses_sla"}


def test_with_a_tighter_one_only_the_dear_one_does() -> None:
    route = Router(never).choose(an_ask(*POOL, sla=TIGHTER), 0.0)

    assert names(route)[0] == "swift"
    assert reasons(route)["swift"] == "cheapest_in_sla"


def test_without_any_bound_the_cheapest_serves() -> None:
    assert names(Router(never).choose(an_ask(*POOL), 0.0)) == ["thrifty", "steady", "swift"]


def test_when_the_one_that_serves_dies_the_next_takes_over_and_it_is_not_asked_again() -> None:
    router, ask = Router(never), an_ask(*POOL, sla=TIGHT)
    fail(router, ask, "steady", FailureKind.TIMEOUT, 0.0)

    again = decide(router, replace(ask, tried=frozenset({"steady/m"})), 0.1)
    other = decide(router, ask, 0.1)

    assert names(again)[0] == "swift"
    assert reasons(again)["swift"] == "fallback"
    assert names(other)[0] == "swift"
    assert reasons(other)["steady"] == "breaker_open"


def test_a_late_candidate_still_takes_over_rather_than_nobody() -> None:
    router, ask = Router(never), an_ask(*POOL, sla=TIGHTER, tried=["swift/m"])

    assert names(decide(router, ask, 0.0)) == ["steady", "thrifty"]


def test_when_nobody_meets_the_sla_the_fastest_serves() -> None:
    route = Router(never).choose(an_ask(*POOL, sla=IMPOSSIBLE), 0.0)

    assert names(route) == ["swift", "steady", "thrifty"]
    assert reasons(route)["swift"] == "fastest"


def test_unless_the_class_says_reject() -> None:
    decision = Router(never).choose(an_ask(*POOL, sla=replace(IMPOSSIBLE, reject_unmeetable=True)), 0.0)

    assert isinstance(decision, Reject)
    assert decision.code == "no_backend_meets_sla"
    assert set(reasons(decision).values()) == {"misses_sla"}


def test_a_class_that_says_reject_gets_no_late_candidate() -> None:
    route = Router(never).choose(an_ask(*POOL, sla=replace(TIGHTER, reject_unmeetable=True)), 0.0)

    assert names(route) == ["swift"]
    assert reasons(route) == {"swift": "cheapest_in_sla", "steady": "misses_sla", "thrifty": "misses_sla"}


def test_time_already_lost_counts_against_the_bound() -> None:
    fresh = Router(never).choose(an_ask(*POOL, sla=TIGHT, accepted=0.0), 0.0)
    waited = Router(never).choose(an_ask(*POOL, sla=TIGHT, accepted=0.0), 0.45)

    assert names(fresh)[0] == "steady"
    assert names(waited)[0] == "swift"


def test_a_caller_s_deadline_is_a_bound_with_a_margin_for_longer_answers() -> None:
    """thrifty: 0.9 s + 1.6 * 99 * 30 ms = 5.7 s; steady: 0.2 + 2.4 = 2.6 s; swift: 0.8 s."""
    assert names(Router(never).choose(an_ask(*POOL, deadline=20.0), 0.0))[0] == "thrifty"
    assert names(Router(never).choose(an_ask(*POOL, deadline=5.7), 0.0))[0] == "steady"
    assert names(Router(never).choose(an_ask(*POOL, deadline=2.0), 0.0))[0] == "swift"


def test_a_whole_answer_must_end_when_its_stream_would_have() -> None:
    """Seconds: thrifty ends after 0.9 + 99 * 0.03 = 3.9, half of 0.6 + 99 * 0.08; steady after 1.7, of 0.6 + 3."""
    whole = an_ask(*POOL, sla=replace(TIGHT, tpot_ms=80), stream=False)
    brisk = an_ask(*POOL, sla=replace(TIGHT, tpot_ms=30), stream=False)

    assert names(Router(never).choose(whole, 0.0))[0] == "thrifty"
    assert names(Router(never).choose(brisk, 0.0))[0] == "steady"


def test_energy_and_carbon_rank_by_their_own_amount() -> None:
    route = Router(never).choose(an_ask(*POOL, objective=Objective.ENERGY), 0.0)

    assert names(route) == ["thrifty", "swift", "steady"]


def test_unknown_energy_ranks_after_everything_known() -> None:
    unknown = replace(THRIFTY, expected=replace(THRIFTY.expected, energy_mj=None))

    route = Router(never).choose(an_ask(SWIFT, STEADY, unknown, objective=Objective.ENERGY), 0.0)

    assert names(route) == ["swift", "steady", "thrifty"]
    assert reasons(route)["thrifty"] == "energy_unknown"


def test_where_nobody_s_energy_is_known_dollars_decide() -> None:
    pool = [replace(quote, expected=replace(quote.expected, energy_mj=None)) for quote in POOL]

    assert names(Router(never).choose(an_ask(*pool, objective=Objective.ENERGY), 0.0))[0] == "thrifty"


def test_priority_keeps_the_declared_order_among_those_in_time() -> None:
    in_time = Router(never).choose(an_ask(SWIFT, STEADY, THRIFTY, objective=Objective.PRIORITY, sla=LOOSE), 0.0)
    late = Router(never).choose(an_ask(THRIFTY, STEADY, SWIFT, objective=Objective.PRIORITY, sla=TIGHT), 0.0)

    assert names(in_time) == ["swift", "steady", "thrifty"]
    assert names(late) == ["steady", "swift", "thrifty"]


def test_equal_costs_are_decided_by_name() -> None:
    twins = [a_quote(a_member(name), usd_nanos=500) for name in ("b", "c", "a")]

    assert names(Router(never).choose(an_ask(*twins, sla=LOOSE), 0.0)) == ["a", "b", "c"]


@pytest.mark.parametrize("spans", [(0, 2_000, 10_000), (1, 100, 10_000), (0, 0, 0), (7, 7, 7)])
def test_a_free_member_or_a_ten_thousand_fold_span_keeps_the_rule(spans: tuple[int, int, int]) -> None:
    thrifty, steady, swift = (
        replace(quote, expected=replace(quote.expected, usd_nanos=usd))
        for quote, usd in zip((THRIFTY, STEADY, SWIFT), spans, strict=True)
    )
    ask = an_ask(swift, steady, thrifty)
    cheapest = min((thrifty, steady, swift), key=lambda quote: (quote.expected.usd_nanos, quote.member.name))
    router = Router(never)
    for turn in range(50):  # a class whose typical request is as cheap as can be
        serve(router, replace(ask, sla=LOOSE), float(turn), ttft_ms=cheapest.member.latency.ttft_base_ms)

    assert names(decide(router, replace(ask, sla=LOOSE), 50.0))[0] == cheapest.member.backend
    if spans[0] != spans[1]:
        assert names(decide(router, replace(ask, sla=TIGHT), 50.0))[0] == "steady"
        assert names(decide(router, replace(ask, sla=TIGHTER), 50.0))[0] == "swift"


def test_at_most_three_are_candidates_and_everyone_else_has_a_reason() -> None:
    pool = [a_quote(a_member(f"m{place}"), usd_nanos=100 * (place + 1)) for place in range(10)]

    route = Router(never).choose(an_ask(*pool, sla=LOOSE), 0.0)

    assert names(route) == ["m0", "m1", "m2"]
    assert reasons(route) == {"m0": "cheapest"} | {f"m{place}": "dearer" for place in range(1, 10)}


# ---- who may not -------------------------------------------------------------------------------------------------


def test_each_obstacle_is_told() -> None:
    deaf = a_quote(a_member("deaf", capabilities=["embedding"]))
    short = a_quote(a_member("short", context=150))
    dark = a_quote(a_member("dark"), energy_mj=None)
    failed, closed, good = a_quote(a_member("failed")), a_quote(a_member("closed")), a_quote(a_member("good"))
    ask = an_ask(deaf, short, dark, failed, closed, good, tried=["failed/m"], energy_required=True)
    router = Router(never)
    router.drain("closed")

    assert reasons(decide(router, ask, 0.0)) == {
        "deaf": "lacks_capability",
        "short": "context_too_long",
        "dark": "energy_unknown",
        "failed": "tried",
        "closed": "drained",
        "good": "fallback",
    }


def test_an_energy_budget_does_not_ask_for_carbon_nor_the_reverse() -> None:
    no_grid, no_watts = a_quote(a_member("no-grid"), carbon_ug=None), a_quote(a_member("no-watts"), energy_mj=None)

    energy = Router(never).choose(an_ask(no_grid, no_watts, energy_required=True), 0.0)
    carbon = Router(never).choose(an_ask(no_grid, no_watts, carbon_required=True), 0.0)

    assert reasons(energy) == {"no-grid": "only", "no-watts": "energy_unknown"}
    assert reasons(carbon) == {"no-grid": "energy_unknown", "no-watts": "only"}


def test_a_drained_backend_serves_again_when_told() -> None:
    router = Router(never)
    router.drain("steady")
    assert isinstance(decide(router, an_ask(STEADY), 0.0), Reject)

    router.undrain("steady")

    assert names(decide(router, an_ask(STEADY), 0.0)) == ["steady"]


def test_a_full_backend_is_passed_over_until_a_request_ends() -> None:
    router, ask = Router(never), an_ask(*POOL, concurrent_max=1)
    ticket = router.on_start(ask, choice_of(router, ask, 0.0, "thrifty"), 0.0)

    assert reasons(decide(router, ask, 0.0))["thrifty"] == "saturated"

    router.on_end(ticket, 1.0, output_tokens=0, failure=None, client_left=True)
    assert names(decide(router, ask, 1.0))[0] == "thrifty"


def test_when_all_are_full_it_says_when_to_come_back() -> None:
    router, ask = Router(never), an_ask(STEADY, concurrent_max=1)
    router.on_start(ask, choice_of(router, ask, 0.0, "steady"), 0.0)

    decision = decide(router, ask, 0.0)

    assert isinstance(decision, Reject)
    assert (decision.code, decision.retry_after_s) == ("no_backend", 1.0)


def test_waiting_is_not_advised_where_it_can_not_help() -> None:
    decision = Router(never).choose(an_ask(STEADY, needs=["chat", "vision"]), 0.0)

    assert isinstance(decision, Reject)
    assert decision.retry_after_s is None


def test_a_429_is_no_failure_but_lowers_the_learned_cap() -> None:
    router, ask = Router(never), an_ask(*POOL)
    for _ in range(2):
        serve(router, ask, 0.0, ttft_ms=900.0)
    held = [router.on_start(ask, choice_of(router, ask, 0.0, "thrifty"), 0.0) for _ in range(2)]

    fail(router, ask, "thrifty", FailureKind.RATE_LIMITED, 0.1)

    assert router.breaker("thrifty") is Phase.CLOSED
    assert names(decide(router, ask, 0.2))[0] == "thrifty"  # 2 in flight, learned cap 2.7
    held.append(router.on_start(ask, choice_of(router, ask, 0.2, "thrifty"), 0.2))
    assert reasons(decide(router, ask, 0.3))["thrifty"] == "saturated"


def test_a_429_that_names_a_time_is_honoured() -> None:
    router, ask = Router(never), an_ask(*POOL)

    fail(router, ask, "thrifty", FailureKind.RATE_LIMITED, 0.0, retry_after_s=7.0)

    assert reasons(decide(router, ask, 6.9))["thrifty"] == "saturated"
    assert names(decide(router, ask, 7.1))[0] == "thrifty"


@pytest.mark.parametrize("kind", [FailureKind.SERVER, FailureKind.RESET, FailureKind.CONNECT, FailureKind.AUTH])
def test_three_failures_in_a_row_open_the_breaker(kind: FailureKind) -> None:
    router, ask = Router(never), an_ask(*POOL)
    for turn in range(3):
        assert router.breaker("thrifty") is Phase.CLOSED
        fail(router, ask, "thrifty", kind, float(turn))

    assert router.breaker("thrifty") is Phase.OPEN
    assert reasons(decide(router, ask, 3.0))["thrifty"] == "breaker_open"


def test_what_the_caller_caused_is_no_failure() -> None:
    router, ask = Router(never), an_ask(*POOL)
    for turn in range(10):
        fail(router, ask, "thrifty", FailureKind.REJECTED, float(turn))

    assert router.breaker("thrifty") is Phase.CLOSED


def test_half_open_lets_one_request_try_and_its_first_token_closes_it() -> None:
    router, ask = Router(never), an_ask(*POOL)
    fail(router, ask, "thrifty", FailureKind.TIMEOUT, 0.0)

    trial = router.on_start(ask, choice_of(router, ask, 3.0, "thrifty"), 3.0)
    assert router.breaker("thrifty") is Phase.HALF_OPEN
    assert reasons(decide(router, ask, 3.1))["thrifty"] == "breaker_open"

    router.on_first_token(trial, 3.9)
    assert router.breaker("thrifty") is Phase.CLOSED
    assert "thrifty" in names(decide(router, ask, 4.0))


def test_late_failures_of_older_requests_do_not_lengthen_an_open_breaker() -> None:
    router, ask = Router(never), an_ask(*POOL)
    older = [router.on_start(ask, choice_of(router, ask, 0.0, "thrifty"), 0.0) for _ in range(3)]
    fail(router, ask, "thrifty", FailureKind.TIMEOUT, 0.0)

    for ticket in older:
        router.on_end(ticket, 1.0, output_tokens=0, failure=FailureKind.TIMEOUT, client_left=False)

    assert "thrifty" in names(decide(router, ask, 2.6))


def test_a_client_that_left_teaches_nothing() -> None:
    router, ask = Router(never), an_ask(*POOL)
    for turn in range(10):
        ticket = router.on_start(ask, choice_of(router, ask, float(turn), "thrifty"), float(turn))
        router.on_end(ticket, turn + 0.9, output_tokens=3, failure=None, client_left=True)

    assert router.in_flight("thrifty") == 0
    assert router.export(20.0)["members"] == {}
    assert router.breaker("thrifty") is Phase.CLOSED


def test_ending_twice_changes_nothing() -> None:
    router, ask = Router(never), an_ask(STEADY)
    ticket = router.on_start(ask, choice_of(router, ask, 0.0, "steady"), 0.0)
    for _ in range(3):
        router.on_end(ticket, 1.0, output_tokens=0, failure=FailureKind.SERVER, client_left=False)

    assert router.in_flight("steady") == 0
    assert router.breaker("steady") is Phase.CLOSED


# ---- cold, slow, silent ------------------------------------------------------------------------------------------


def test_a_cold_backend_is_not_flooded() -> None:
    router, ask = Router(never), an_ask(*POOL)
    served = []
    for _ in range(8):
        choice = decide(router, ask, 0.0).candidates[0]  # type: ignore[union-attr]
        served.append(choice.quote.member.backend)
        router.on_start(ask, choice, 0.0)

    assert served == ["thrifty", "thrifty", "steady", "steady", "swift", "swift", "thrifty", "thrifty"]


def test_slow_start_ends_with_the_second_first_token() -> None:
    router, ask = Router(never), an_ask(*POOL)
    for turn in range(2):
        answer(router, ask, choice_of(router, ask, float(turn), "thrifty"), float(turn), ttft_ms=900.0)

    tickets = [router.on_start(ask, choice_of(router, ask, 10.0, "thrifty"), 10.0) for _ in range(20)]

    assert len(tickets) == 20
    assert names(decide(router, ask, 10.0))[0] == "thrifty"


def test_a_cold_backend_takes_more_where_everyone_else_would_be_late() -> None:
    """Two are on swift, which is cold and could hold the promise; steady and thrifty could not."""
    router, ask = Router(never), an_ask(*POOL, sla=TIGHTER)
    for _ in range(2):
        router.on_start(ask, choice_of(router, ask, 0.0, "swift"), 0.0)

    assert names(decide(router, ask, 0.0))[0] == "swift"


def test_a_lone_cold_backend_serves_all_the_same() -> None:
    router, ask = Router(never), an_ask(STEADY)
    for _ in range(50):
        router.on_start(ask, decide(router, ask, 0.0).candidates[0], 0.0)  # type: ignore[union-attr]

    assert router.in_flight("steady") == 50


def test_load_is_known_at_once_and_moves_the_choice() -> None:
    """Each queued prompt of 1,000 tokens delays the next by 100 ms; after a few steady misses 600 ms."""
    busy = a_quote(a_member("steady", ttft_ms=100.0, per_1k_ms=100.0), usd_nanos=10, input_tokens=1_000)
    spare = a_quote(a_member("swift", ttft_ms=50.0), usd_nanos=1_000, input_tokens=1_000)
    router, ask = Router(never), an_ask(busy, spare, sla=TIGHT)
    for turn in range(20):
        answer(router, ask, choice_of(router, ask, float(turn), "steady"), float(turn), ttft_ms=200.0)
        answer(router, ask, choice_of(router, ask, float(turn), "swift"), float(turn), ttft_ms=50.0)
    served = []
    for _ in range(8):
        choice = decide(router, ask, 30.0).candidates[0]  # type: ignore[union-attr]
        served.append(choice.quote.member.backend)
        router.on_start(ask, choice, 30.0)

    assert served[0] == "steady"
    assert served[-1] == "swift"
    assert served == sorted(served)  # fills the cheap one first, then moves


def test_a_slowdown_is_detected_and_the_class_moves() -> None:
    router, ask = Router(never), an_ask(*POOL, sla=TIGHT)
    for turn in range(30):
        assert serve(router, ask, 0.2 * turn, ttft_ms=200.0, tpot_ms=15.0).quote.member.backend == "steady"

    moved_after = 0
    for turn in range(10):
        moved_after = turn
        if serve(router, ask, 10.0 + 0.2 * turn, ttft_ms=1_500.0, tpot_ms=15.0).quote.member.backend == "swift":
            break

    assert moved_after <= 3


def test_after_recovery_a_canary_brings_the_traffic_back() -> None:
    """A slow steady is left; a while later slack-rich work or one request in twenty looks again, alone."""
    router, ask = Router(Random(3).random), an_ask(SWIFT, STEADY, sla=TIGHT)
    for turn in range(30):
        serve(router, ask, 0.2 * turn, ttft_ms=200.0, tpot_ms=15.0)
    for turn in range(10):
        answer(router, ask, choice_of(router, ask, 6.0 + turn / 5, "steady"), 6.0 + turn / 5, ttft_ms=2_500.0)
    assert names(decide(router, ask, 8.1))[0] == "swift"

    shares: dict[bool, list[bool]] = {False: [], True: []}
    for turn in range(250):  # five a second for fifty seconds; steady is well again from the start
        now = 9.0 + turn / 5
        route = decide(router, ask, now)
        assert isinstance(route, Route)
        backend = route.candidates[0].quote.member.backend
        speed = {"swift": 50.0, "steady": 200.0}[backend]
        answer(router, ask, route.candidates[0], now, ttft_ms=speed, tpot_ms=5.0)
        shares[turn >= 150].append(backend == "steady")

    assert sum(shares[True]) >= 0.8 * len(shares[True])


def test_one_canary_at_a_time_and_only_below_the_winner_s_price() -> None:
    router, ask = Router(always), an_ask(*POOL, sla=TIGHT)
    for turn in range(5):
        answer(router, ask, choice_of(router, ask, 0.1 * turn, "thrifty"), 0.1 * turn, ttft_ms=3_000.0)

    first = decide(router, ask, 20.0)
    assert isinstance(first, Route)
    assert (names(first)[0], first.candidates[0].reason) == ("thrifty", Reason.PROBE)

    router.on_start(ask, first.candidates[0], 20.0)
    second = decide(router, ask, 20.1)
    assert names(second)[0] == "steady"


def test_a_fallback_is_never_a_canary() -> None:
    router, ask = Router(always), an_ask(*POOL, sla=TIGHT, tried=["steady/m"])

    assert names(decide(router, ask, 100.0))[0] == "swift"


def test_silence_is_evidence() -> None:
    """thrifty's 99th percentile is about 0.9 s * e^(2.326 * 0.3) = 1.8 s; due after 1.5 * 1.8 + 0.3 = 3.0 s."""
    router, ask = Router(never), an_ask(*POOL)
    for turn in range(3):
        answer(router, ask, choice_of(router, ask, 2.0 * turn, "thrifty"), 2.0 * turn, ttft_ms=900.0)
    waiting = router.on_start(ask, choice_of(router, ask, 6.0, "thrifty"), 6.0)

    assert names(decide(router, ask, 8.0))[0] == "thrifty"
    assert reasons(decide(router, ask, 10.0))["thrifty"] == "silent"

    router.on_first_token(waiting, 10.5)
    assert names(decide(router, ask, 10.6))[0] == "thrifty"


def test_a_silent_backend_is_tried_again_after_a_while_by_one_request() -> None:
    router, ask = Router(never), an_ask(*POOL)
    for turn in range(3):
        answer(router, ask, choice_of(router, ask, 2.0 * turn, "thrifty"), 2.0 * turn, ttft_ms=900.0)
    router.on_start(ask, choice_of(router, ask, 6.0, "thrifty"), 6.0)

    again = decide(router, ask, 20.0)
    assert names(again)[0] == "thrifty"

    router.on_start(ask, again.candidates[0], 20.0)  # type: ignore[union-attr]
    assert reasons(decide(router, ask, 20.1))["thrifty"] == "silent"


def test_silence_everywhere_does_not_become_down() -> None:
    router, ask = Router(never), an_ask(STEADY)
    router.on_start(ask, choice_of(router, ask, 0.0, "steady"), 0.0)

    assert names(decide(router, ask, 5.0)) == ["steady"]


# ---- conversations -----------------------------------------------------------------------------------------------


def test_a_conversation_stays_while_the_difference_is_small_and_moves_when_it_is_not() -> None:
    here = a_quote(a_member("here"), usd_nanos=1_000)
    near, cheap = a_quote(a_member("there"), usd_nanos=900), a_quote(a_member("there"), usd_nanos=300)
    router = Router(never)
    ask = an_ask(here, near, sticky="session", session="s1")
    router.on_start(ask, choice_of(router, ask, 0.0, "here"), 0.0)

    stays = decide(router, ask, 1.0)
    assert names(stays)[0] == "here"
    assert reasons(stays)["here"] == "sticky"
    assert names(decide(router, replace(ask, session="s2"), 1.0))[0] == "there"
    assert names(decide(router, an_ask(here, cheap, sticky="session", session="s1"), 1.0))[0] == "there"


def test_a_conversation_leaves_a_backend_that_would_be_late() -> None:
    router, ask = Router(never), an_ask(*POOL, sla=TIGHT, sticky="session", session="s1")
    router.on_start(ask, choice_of(router, ask, 0.0, "thrifty"), 0.0)

    assert names(decide(router, ask, 0.0))[0] == "steady"


def test_a_model_that_is_not_sticky_remembers_no_conversation() -> None:
    here, there = a_quote(a_member("here"), usd_nanos=1_000), a_quote(a_member("there"), usd_nanos=900)
    router, ask = Router(never), an_ask(here, there, session="s1")
    router.on_start(ask, choice_of(router, ask, 0.0, "here"), 0.0)

    assert names(decide(router, ask, 1.0))[0] == "there"


def test_conversations_are_remembered_up_to_a_bound_the_oldest_forgotten_first() -> None:
    here, there = a_quote(a_member("here"), usd_nanos=1_000), a_quote(a_member("there"), usd_nanos=900)
    router, ask = Router(never), an_ask(here, there, sticky="session", session="first")
    choice = choice_of(router, ask, 0.0, "here")
    answer(router, ask, choice, 0.0, ttft_ms=100.0)
    for turn in range(SESSIONS_MAX):
        answer(router, replace(ask, session=f"s{turn}"), choice, 0.0, ttft_ms=100.0)

    assert names(decide(router, ask, 1.0))[0] == "there"
    assert names(decide(router, replace(ask, session="s5"), 1.0))[0] == "here"


# ---- what is learned and told ------------------------------------------------------------------------------------


def test_misses_raise_the_price_of_a_miss_and_successes_lower_it_slowly() -> None:
    router, ask = Router(never), an_ask(STEADY, sla=TIGHT)
    serve(router, ask, 0.0, ttft_ms=200.0)
    after_success = router.export(1.0)["miss_prices"]["tight"]
    serve(router, ask, 1.0, ttft_ms=900.0)
    after_miss = router.export(2.0)["miss_prices"]["tight"]

    assert after_success == pytest.approx(60.0 * 2.718281828 ** (-0.06 * 0.3 * 0.01))
    assert after_miss == pytest.approx(after_success * 2.718281828 ** (0.06 * (1 - 0.003)))


def test_a_promise_that_nobody_can_keep_does_not_raise_it() -> None:
    router, ask = Router(never), an_ask(STEADY, sla=IMPOSSIBLE)
    for turn in range(50):
        serve(router, ask, float(turn), ttft_ms=200.0)

    assert "impossible" not in router.export(60.0)["miss_prices"]


def test_a_restart_is_warm() -> None:
    ask, old, new = an_ask(*POOL, sla=TIGHT), Router(never), Router(never)
    for turn in range(30):
        answer(old, ask, choice_of(old, ask, 0.1 * turn, "steady"), 0.1 * turn, ttft_ms=2_000.0)

    new.absorb(old.export(3.0), 100.0)

    assert names(decide(old, ask, 3.0))[0] == "swift"
    assert names(decide(new, ask, 100.0))[0] == "swift"
    assert (
        new.export(100.0)["members"]["steady/m"][0]["weights"] == old.export(3.0)["members"]["steady/m"][0]["weights"]
    )


def test_whole_answers_teach_speed_too() -> None:
    """Without streams only the end is seen; 100 ms and 100 tokens of 40 ms are learned as one time, near the truth."""
    router, ask = Router(never), an_ask(*POOL, sla=TIGHT, stream=False)
    for turn in range(40):
        ticket = router.on_start(ask, choice_of(router, ask, 5.0 * turn, "steady"), 5.0 * turn)
        router.on_end(ticket, 5.0 * turn + 4.06, output_tokens=100, failure=None, client_left=False)

    choice = choice_of(router, ask, 200.0, "steady")

    assert choice.ttft_ms + 99 * choice.tpot_ms == pytest.approx(4_060.0, rel=0.05)


def test_gauges_say_what_is_there() -> None:
    router, ask = Router(never), an_ask(STEADY)
    assert (router.in_flight("steady"), router.breaker("steady")) == (0, Phase.CLOSED)

    router.on_start(ask, choice_of(router, ask, 0.0, "steady"), 0.0)

    assert router.in_flight("steady") == 1


def test_a_quote_of_a_member_never_seen_is_no_surprise() -> None:
    router = Router(never)
    decide(router, an_ask(STEADY), 0.0)
    stranger: Quote = a_quote(a_member("new"), usd_nanos=1)

    assert names(decide(router, an_ask(STEADY, stranger), 0.0))[0] == "new"

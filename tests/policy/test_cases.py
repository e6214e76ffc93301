"""Cases run through the real router, on members priced by a flat rate: one nano-dollar a token."""

from dataclasses import replace

from gateway.domain.amounts import Amounts
from gateway.domain.catalog import Backend, Snapshot
from gateway.domain.profile import Rates
from gateway.domain.usage import TokenUsage
from gateway.policy.cases import Verdict, run
from gateway.policy.documents import compile_policies, read_policy
from tests.policy.house import a_member

SPEEDS = {"swift": 50.0, "steady": 200.0, "thrifty": 900.0}
MEMBERS = {f"{name}/m": a_member(name, ttft_ms=ms) for name, ms in SPEEDS.items()}
HEAD = """
classes: {chat: {ttft_ms: 600, tpot_ms: 60}, strict: {ttft_ms: 600, on_unmeetable: reject}, batch: {deadline_ms: 90000}}
models: [{name: chat, members: [swift/m, steady/m, thrifty/m], sticky: session}]
cases:
"""
COSTS = 'cost_usd: {swift: "0.010", steady: "0.002", thrifty: "0.0003"}'


def price(rates: Rates, usage: TokenUsage) -> Amounts:
    return Amounts(usd_nanos=usage.total_tokens, tokens=usage.total_tokens, requests=1)


def verdict(case: str) -> Verdict:
    pieces = compile_policies([read_policy(f"{HEAD}  - {{name: x, {case}}}", file="p.yaml")], MEMBERS)
    backends = {name: Backend(name, "http://x") for name in SPEEDS}
    snapshot = Snapshot("1", pieces.models, backends, pieces.classes, pieces.default_class)
    return run(pieces.cases[0], snapshot, price)


def test_a_case_that_comes_true_says_so_with_its_line() -> None:
    assert verdict(f"{COSTS}, expect: {{route: [steady]}}") == Verdict(True, "p.yaml:5: x: passed")


def test_a_case_that_does_not_says_what_came_instead_and_why() -> None:
    told = verdict(f"{COSTS}, expect: {{route: [thrifty], reasons: {{swift: only}}}}")

    assert not told.passed
    assert told.sentence == (
        "p.yaml:5: x: FAILED: expected thrifty/m first, but came steady/m; expected swift: only, but came dearer "
        "(steady/m: cheapest_in_sla, swift/m: dearer, thrifty/m: misses_sla)"
    )


def test_stated_speeds_decide() -> None:
    assert verdict(f"{COSTS}, ttft_p95_ms: {{thrifty: 620}}, expect: {{route: [steady]}}").passed
    assert verdict(f"{COSTS}, ttft_p95_ms: {{thrifty: 570}}, expect: {{route: [thrifty]}}").passed
    assert verdict(f"{COSTS}, tpot_p95_ms: {{steady: 90}}, expect: {{route: [swift]}}").passed


def test_stated_loads_and_outages_decide() -> None:
    batch = f"class: batch, {COSTS}"

    assert verdict(f"{batch}, expect: {{route: [thrifty, steady, swift]}}").passed
    assert verdict(f"{batch}, in_flight: {{thrifty: 256}}, expect: {{reasons: {{thrifty: saturated}}}}").passed
    assert verdict(f"{batch}, down: [thrifty], expect: {{route: [steady], reasons: {{thrifty: breaker_open}}}}").passed
    assert verdict(f"{batch}, drained: [thrifty], expect: {{reasons: {{thrifty: drained}}}}").passed
    assert verdict(f"{batch}, tried: [thrifty], expect: {{reasons: {{thrifty: tried, steady: fallback}}}}").passed
    assert verdict(f"{batch}, needs: [chat, vision], expect: {{reject: no_backend}}").passed


def test_a_rejection_can_be_expected() -> None:
    slow = "ttft_p95_ms: {swift: 5000, steady: 5000, thrifty: 5000}"

    assert verdict(f"class: strict, {slow}, expect: {{reject: no_backend_meets_sla}}").passed
    assert not verdict(f"{slow}, expect: {{reject: no_backend_meets_sla}}").passed
    assert not verdict(f"class: strict, {slow}, expect: {{route: [swift]}}").passed


def test_a_conversation_stays() -> None:
    near = 'class: batch, cost_usd: {swift: "0.010", steady: "0.001", thrifty: "0.0009"}'

    assert verdict(f"{near}, conversation_at: steady, expect: {{reasons: {{steady: sticky}}}}").passed
    assert verdict(f"{near}, expect: {{reasons: {{thrifty: cheapest}}}}").passed


def test_waiting_counts() -> None:
    assert verdict(f"{COSTS}, waited_ms: 450, expect: {{route: [swift]}}").passed


def test_what_is_not_said_comes_from_profiles_and_rates() -> None:
    """Equal rates: the name decides; each is in time for a batch."""
    assert verdict("class: batch, expect: {route: [steady, swift, thrifty]}").passed


def test_a_case_decides_alike_every_time() -> None:
    text = f"{COSTS}, ttft_p95_ms: {{swift: 700, steady: 700}}, expect: {{reasons: {{swift: dearer}}}}"

    assert replace(verdict(text)) == verdict(text)

"""Policy cases that read aloud: given this request, these speeds and loads, that route; through the real router.

Nothing is faked: speeds go in as what the router would have learned, loads as requests it was told of, a backend that
is down as a timeout it saw, a conversation as a request that was served there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from gateway.domain.amounts import NANOS_PER_USD, Amounts
from gateway.domain.catalog import Member, Snapshot
from gateway.domain.faults import FailureKind
from gateway.domain.profile import Rates
from gateway.domain.route import Choice, Quote, Reason, Reject, Route, RouteAsk
from gateway.domain.usage import TokenUsage
from gateway.policy.documents import Case
from gateway.policy.estimators import EstimatorState
from gateway.policy.router import Router, RouterState

Price = Callable[[Rates, TokenUsage], Amounts]

NOW = 1_000.0  # seconds on a clock of its own
SAMPLES = 1_000
SD = 0.05  # the least an estimator believes: a stated p95 is then close to the bound that it just meets
P95 = 1.645
SESSION = "the conversation"


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a case ended. `sentence`: `file:line: name: passed`, or what came instead."""

    passed: bool
    sentence: str


def run(case: Case, snapshot: Snapshot, price: Price) -> Verdict:
    """Decide the case by a router of its own. `price`: marginal amounts of a usage (metering's)."""
    ask = _ask(case, snapshot, price)
    decision = _prepared(case, ask).choose(ask, NOW)
    wrong = _differences(case, decision)
    told = "passed" if not wrong else f"FAILED: {'; '.join(wrong)} ({_told(decision)})"
    return Verdict(not wrong, f"{case.where}: {case.section.name}: {told}")


def _ask(case: Case, snapshot: Snapshot, price: Price) -> RouteAsk:
    given = case.section
    return RouteAsk(
        model=case.model,
        sla=case.sla,
        quotes=tuple(_quote(case, member, price) for member in case.model.members),
        needs=frozenset(given.needs),
        stream=given.stream,
        backends=snapshot.backends,
        accepted=NOW - given.waited_ms / 1000.0,
        session=None if given.conversation_at is None else SESSION,
        tried=frozenset(case.members[name].name for name in given.tried),
    )


def _quote(case: Case, member: Member, price: Price) -> Quote:
    given = case.section
    amounts = price(member.rates, TokenUsage(input_tokens=given.input_tokens, output_tokens=given.output_tokens))
    for name, usd in given.cost_usd.items():
        if case.members[name] is member:
            amounts = replace(amounts, usd_nanos=int(usd * NANOS_PER_USD))
    return Quote(
        member=member,
        input_tokens=given.input_tokens,
        input_exact=True,
        output_tokens_expected=given.output_tokens,
        output_tokens_max=max(given.output_tokens, 1),
        output_tokens_held=max(given.output_tokens, 1),
        expected=amounts,
    )


def _prepared(case: Case, ask: RouteAsk) -> Router:
    given = case.section
    router = Router(lambda: 0.5)  # above the canary share: a case is about the rule, not about exploring
    router.absorb(_learned(case), NOW)
    by_name = {quote.member.name: Choice(quote, Reason.ONLY, 0.0, 0.0, 0.0) for quote in ask.quotes}
    plain = replace(ask, session=None, tried=frozenset())
    for name, count in given.in_flight.items():
        for _ in range(count):
            ticket = router.on_start(plain, by_name[case.members[name].name], NOW)
            ticket.due_at = math.inf
    for name in given.down:
        ticket = router.on_start(plain, by_name[case.members[name].name], NOW)
        router.on_end(ticket, NOW, output_tokens=0, failure=FailureKind.TIMEOUT, client_left=False)
    for name in given.drained:
        router.drain(case.members[name].backend)
    if given.conversation_at is not None:
        ticket = router.on_start(ask, by_name[case.members[given.conversation_at].name], NOW)
        router.on_end(ticket, NOW, output_tokens=0, failure=None, client_left=True)
    return router


def _learned(case: Case) -> RouterState:
    """Stated speeds as a router would have learned them: flat in load, since the case states the outcome."""
    given = case.section
    ttft = {case.members[name].name: float(ms) for name, ms in given.ttft_p95_ms.items()}
    tpot = {case.members[name].name: float(ms) for name, ms in given.tpot_p95_ms.items()}
    members = {}
    for member in case.model.members:
        prior = member.latency
        first = [prior.ttft_base_ms, prior.ttft_per_1k_input_ms, prior.ttft_per_1k_input_ms, 0.0]
        token = [prior.tpot_base_ms, prior.tpot_per_active_ms]
        if member.name in ttft:
            first = [ttft[member.name] * math.exp(-P95 * SD), 0.0, 0.0, 0.0]
        if member.name in tpot:
            token = [tpot[member.name] * math.exp(-P95 * SD), 0.0]
        members[member.name] = (_known(first), _known(token))
    return {"members": members, "miss_prices": {}, "typical": {}}


def _known(weights: list[float]) -> EstimatorState:
    return {"weights": weights, "mean": 0.0, "variance": SD * SD, "samples": SAMPLES, "age_s": 0.0}


def _differences(case: Case, decision: Route | Reject) -> list[str]:
    expect, wrong = case.section.expect, []
    if expect.reject is not None:
        came = decision.code if isinstance(decision, Reject) else "a route"
        return [] if came == expect.reject else [f"expected {expect.reject}, but came {came}"]
    if isinstance(decision, Reject) and expect.route is not None:
        return [f"expected a route, but came {decision.code}"]
    if expect.route is not None and isinstance(decision, Route):
        wanted = [case.members[name].name for name in expect.route]
        came_first = [choice.quote.member.name for choice in decision.candidates[: len(wanted)]]
        if came_first != wanted:
            wrong.append(f"expected {', '.join(wanted)} first, but came {', '.join(came_first)}")
    reasons = _reasons(decision)
    for name, reason in expect.reasons.items():
        came = reasons.get(case.members[name].name, "nothing")
        if came != reason:
            wrong.append(f"expected {name}: {reason}, but came {came}")
    return wrong


def _reasons(decision: Route | Reject) -> dict[str, str]:
    """Of every member, wherever it stands."""
    chosen = decision.candidates if isinstance(decision, Route) else ()
    return {choice.quote.member.name: choice.reason.value for choice in chosen} | {
        passed.member: passed.reason.value for passed in decision.passed_over
    }


def _told(decision: Route | Reject) -> str:
    return ", ".join(f"{name}: {reason}" for name, reason in _reasons(decision).items())

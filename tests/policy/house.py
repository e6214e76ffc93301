"""Factories of this room's tests: say only what matters, the rest is filled in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from gateway.domain.amounts import Amounts
from gateway.domain.catalog import Backend, Latency, Member, Objective, ServedModel, SlaClass
from gateway.domain.profile import PriceTier, Rates, TokenRates
from gateway.domain.route import Choice, Quote, Reason, Reject, Route, RouteAsk
from gateway.policy.router import Router

NO_RATES = TokenRates(0, 0, 0, 0, 0, 0, None, None, None)
RATES = Rates("test", "1", (PriceTier(0, NO_RATES, NO_RATES),), None, 0, None, None, 0, "E", "facility", 2.0, None)
NO_SLA = SlaClass("none")


def never() -> float:
    """A random source that never lets a canary go."""
    return 0.999


def always() -> float:
    """A random source that always lets one go."""
    return 0.0


def a_member(
    name: str,
    *,
    ttft_ms: float = 100.0,
    tpot_ms: float = 10.0,
    per_1k_ms: float = 0.0,
    capabilities: Iterable[str] = ("chat",),
    context: int | None = None,
) -> Member:
    return Member(
        name=f"{name}/m",
        backend=name,
        upstream_model="m",
        rates=RATES,
        latency=Latency(ttft_ms, per_1k_ms, tpot_ms, 0.0),
        capabilities=frozenset(capabilities),
        context_tokens_max=context,
    )


def a_quote(
    member: Member,
    *,
    usd_nanos: int = 1_000,
    energy_mj: int | None = 1,
    carbon_ug: int | None = 1,
    input_tokens: int = 100,
    output_tokens: int = 100,
) -> Quote:
    amounts = Amounts(usd_nanos, energy_mj, carbon_ug, input_tokens + output_tokens, 1)
    most = 4 * max(output_tokens, 1)
    return Quote(member, input_tokens, True, output_tokens, most, most, amounts)


def an_ask(
    *quotes: Quote,
    sla: SlaClass = NO_SLA,
    objective: Objective = Objective.COST,
    sticky: str | None = None,
    needs: Iterable[str] = ("chat",),
    stream: bool = True,
    accepted: float = 0.0,
    deadline: float | None = None,
    session: str | None = None,
    tried: Iterable[str] = (),
    energy_required: bool = False,
    carbon_required: bool = False,
    concurrent_max: int = 256,
) -> RouteAsk:
    members = tuple(quote.member for quote in quotes)
    return RouteAsk(
        model=ServedModel("chat", members, objective, sticky=sticky),
        sla=sla,
        quotes=quotes,
        needs=frozenset(needs),
        stream=stream,
        backends={
            member.backend: Backend(member.backend, "http://x", concurrent_max=concurrent_max) for member in members
        },
        accepted=accepted,
        deadline=deadline,
        session=session,
        tried=frozenset(tried),
        energy_required=energy_required,
        carbon_required=carbon_required,
    )


def names(route: Route | Reject) -> list[str]:
    assert isinstance(route, Route), route
    return [choice.quote.member.backend for choice in route.candidates]


def reasons(decision: Route | Reject) -> dict[str, str]:
    chosen = decision.candidates if isinstance(decision, Route) else ()
    return {choice.quote.member.backend: choice.reason.value for choice in chosen} | {
        passed.member.partition("/")[0]: passed.reason.value for passed in decision.passed_over
    }


def decide(router: Router, ask: RouteAsk, now: float) -> Route | Reject:
    """Choose for a request like `ask` that was accepted this instant."""
    return router.choose(replace(ask, accepted=now), now)


def serve(
    router: Router, ask: RouteAsk, now: float, *, ttft_ms: float, tpot_ms: float = 10.0, output_tokens: int = 2
) -> Choice:
    """Choose, and let the first candidate answer at once with these times."""
    route = decide(router, ask, now)
    assert isinstance(route, Route), route
    answer(router, ask, route.candidates[0], now, ttft_ms=ttft_ms, tpot_ms=tpot_ms, output_tokens=output_tokens)
    return route.candidates[0]


def answer(
    router: Router,
    ask: RouteAsk,
    choice: Choice,
    now: float,
    *,
    ttft_ms: float,
    tpot_ms: float = 10.0,
    output_tokens: int = 2,
) -> None:
    ticket = router.on_start(replace(ask, accepted=now), choice, now)
    first = now + ttft_ms / 1000.0
    if ask.stream:
        router.on_first_token(ticket, first)
    end = first + tpot_ms * max(0, output_tokens - 1) / 1000.0
    router.on_end(ticket, end, output_tokens=output_tokens, failure=None, client_left=False)


def choice_of(router: Router, ask: RouteAsk, now: float, backend: str) -> Choice:
    """The choice of that backend, whether or not the router would send there now."""
    route = decide(router, ask, now)
    for choice in route.candidates if isinstance(route, Route) else ():
        if choice.quote.member.backend == backend:
            return choice
    quote = next(quote for quote in ask.quotes if quote.member.backend == backend)
    prior = quote.member.latency
    return Choice(quote, Reason.ONLY, prior.ttft_base_ms, prior.tpot_base_ms, 0.0)

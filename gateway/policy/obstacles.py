"""Why a member can not, must not or should not take this request. Predicates in the order in which they are told.

A hard obstacle passes a member over. A soft one (a cold backend's slow start, silence) does so only while somebody
without one can serve: slow must not become down.
"""

from __future__ import annotations

from gateway.domain.route import Quote, Reason, RouteAsk
from gateway.policy.breaker import Phase, admits
from gateway.policy.fleet import Load, MemberState

CLOSED = Phase.CLOSED  # an enum's attribute takes longer to look up than all other checks of a healthy member
SLOW_START_SAMPLES = 2  # first answers seen before a member may take more than a few requests at once
SLOW_START_FIRST = 2
SLOW_START_PER_SAMPLE = 2


def hard(ask: RouteAsk, quote: Quote, load: Load, now: float) -> Reason | None:
    """The first reason why this member must not serve, None if it may."""
    member = quote.member
    if ask.tried and member.name in ask.tried:
        return Reason.TRIED
    if not ask.needs <= member.capabilities:
        return Reason.LACKS_CAPABILITY
    context = member.context_tokens_max
    if context is not None and quote.input_tokens + quote.output_tokens_expected > context:
        return Reason.CONTEXT_TOO_LONG
    if ask.energy_required and quote.expected.energy_mj is None:
        return Reason.ENERGY_UNKNOWN
    if ask.carbon_required and quote.expected.carbon_ug is None:
        return Reason.ENERGY_UNKNOWN
    backend = ask.backends.get(member.backend)
    if backend is None or load.drained:
        return Reason.DRAINED
    if load.breaker.phase is not CLOSED and not admits(load.breaker, now):
        return Reason.BREAKER_OPEN
    in_flight, throttle = load.in_flight, load.throttle
    if in_flight >= backend.concurrent_max or in_flight >= throttle.cap or now < throttle.until:
        return Reason.SATURATED
    return None


def soft(state: MemberState, now: float) -> Reason | None:
    """Why somebody else should rather serve. Only a backend with requests in flight can have a reason."""
    load = state.load
    samples = state.ttft.samples
    if samples < SLOW_START_SAMPLES and load.in_flight >= SLOW_START_FIRST + SLOW_START_PER_SAMPLE * samples:
        return Reason.SLOW_START
    return Reason.SILENT if load.silent(now) and not state.wants_canary(now) else None

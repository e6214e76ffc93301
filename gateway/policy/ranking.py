"""Members in order: how probable a miss is on each, and what it would cost to avoid it. Pure functions.

    J = (amount - least amount) / scale + price of a miss * P(SLA missed)

`scale` is what the class typically pays, at least what its cheapest member that meets the target costs now, at least
a thousandth of the dearest: so a free member or a wide span can not blow the ratio up, and an answer in time is not
traded away for a cheap late one. See docs/decisions/0041.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from gateway.domain.catalog import Objective
from gateway.domain.route import Quote, RouteAsk
from gateway.policy.estimators import below
from gateway.policy.fleet import MemberState
from gateway.policy.sla import UNBOUNDED, Bounds, bounds_left
from gateway.policy.strategies import AMOUNTS, cost

LATE = 0.5  # more likely late than not: does not meet the SLA
SCALE_FLOOR = 0.001  # of the dearest member's amount
STICKY_DISCOUNT = 0.25  # a conversation moves only for more than a quarter of what its class typically pays
LENGTH_MARGIN = 1.6  # a deadline must hold for an answer this much longer than expected
IN_TIME, UNKNOWN_AMOUNT, TOO_LATE = 0, 1, 2


class Offer(NamedTuple):
    """A member that may serve. `amount` is infinite if unknown. Orders by amount, then name."""

    amount: float
    name: str
    quote: Quote
    state: MemberState


class Forecast(NamedTuple):
    """What an offer promises. lateness: the greatest ratio of a predicted time to its bound."""

    offer: Offer
    ttft_ms: float
    tpot_ms: float
    p_miss: float
    lateness: float


class Ranked(NamedTuple):
    """A forecast in its place: by bucket, then J (or lateness where late), then name, so the order is total."""

    bucket: int
    rank: float
    name: str
    forecast: Forecast


@dataclass(frozen=True, slots=True)
class Terms:
    """What a class pays: for a miss (in typical requests) and typically (in the objective's unit)."""

    miss_price: float
    typical: float


def offers(ask: RouteAsk, fit: Sequence[tuple[Quote, MemberState]]) -> list[Offer]:
    """Ascending. Where nobody's energy or carbon is known, dollars decide."""
    amount_of, members = AMOUNTS[ask.model.objective], ask.model.members
    places = {member.name: place for place, member in enumerate(members)}
    found = []
    for quote, state in fit:
        name = quote.member.name
        amount = amount_of(quote, places.get(name, len(members)))
        found.append(Offer(math.inf if amount is None else amount, name, quote, state))
    found.sort()
    if found and found[0].amount == math.inf:
        found = sorted(Offer(cost(offer.quote, 0) or 0, offer.name, offer.quote, offer.state) for offer in found)
    return found


def forecast(offer: Offer, bounds: Bounds, now: float) -> Forecast:
    """Predict this request there, with the load of this instant, and how probably it misses a bound."""
    quote, state = offer.quote, offer.state
    load = state.load
    base, per_input, per_queued, per_flight = state.ttft.regression.weights
    ttft_ms = (
        base
        + per_input * 0.001 * quote.input_tokens
        + per_queued * 0.001 * load.queued_tokens
        + per_flight * load.in_flight
    )
    tpot_base, per_active = state.tpot.regression.weights
    tpot_ms = tpot_base + per_active * load.active()
    first, token = state.ttft.residual, state.tpot.residual
    kept, lateness = 1.0, 0.0
    if bounds.ttft_ms != UNBOUNDED:
        kept = below(bounds.ttft_ms, ttft_ms, first.mean, first.sd)
        lateness = ttft_ms * math.exp(first.mean) / max(bounds.ttft_ms, 1.0)
    output = quote.output_tokens_expected
    if bounds.tpot_ms != UNBOUNDED and output >= 2:
        kept *= below(bounds.tpot_ms, tpot_ms, token.mean, token.sd)
        lateness = max(lateness, tpot_ms * math.exp(token.mean) / max(bounds.tpot_ms, 0.001))
    if bounds.end_bounded:
        head_ms = ttft_ms * math.exp(first.mean)
        tail_ms = tpot_ms * math.exp(token.mean) * max(0, output - 1)
        end_ms = head_ms + tail_ms
        spread = (head_ms * first.sd + tail_ms * token.sd) / end_ms if end_ms > 0.0 else first.sd
        bound_ms = bounds.end_ms(output)
        if bound_ms != UNBOUNDED:
            kept *= below(bound_ms, end_ms, 0.0, spread)
            lateness = max(lateness, end_ms / max(bound_ms, 1.0))
        if bounds.deadline_ms != UNBOUNDED:
            long_ms = head_ms + LENGTH_MARGIN * tail_ms
            kept *= below(bounds.deadline_ms, long_ms, 0.0, spread)
            lateness = max(lateness, long_ms / max(bounds.deadline_ms, 1.0))
    failing = load.errors.share(now)
    return Forecast(offer, ttft_ms, tpot_ms, 1.0 - kept * (1.0 - failing), lateness)


def rank(
    ask: RouteAsk, candidates: Sequence[Offer], terms: Terms, home: str | None, wanted: int, now: float
) -> list[Ranked]:
    """Best first. Walks up from the cheapest and ends where nobody dearer can still be among the `wanted` best."""
    bounds, miss_budget = bounds_left(ask, now), 1.0 - ask.sla.target
    seen: list[Forecast] = []
    in_time, meeting = 0, 0.0
    for offer in candidates:
        seen.append(forecast(offer, bounds, now))
        p_miss = seen[-1].p_miss
        in_time += p_miss <= LATE
        if p_miss <= miss_budget and meeting == 0.0 and offer.amount != math.inf:
            meeting = offer.amount or math.ulp(0.0)
        if meeting and in_time >= wanted:
            break
    least = candidates[0].amount
    scale = max(terms.typical, meeting, SCALE_FLOOR * _dearest(candidates)) or 1.0
    miss_price = terms.miss_price
    if ask.model.objective is Objective.PRIORITY:  # the order declared holds among all that are in time
        scale, miss_price = 1.0, 0.0
    ranked = [_place(each, least, scale, miss_price, home) for each in seen]
    if len(seen) < len(candidates):
        known = sorted(each.rank for each in ranked if each.bucket == IN_TIME)
        limit = known[wanted - 1] if len(known) >= wanted else math.inf
        for offer in candidates[len(seen) :]:
            if (offer.amount - least) / scale - STICKY_DISCOUNT >= limit:
                break
            ranked.append(_place(forecast(offer, bounds, now), least, scale, miss_price, home))
    ranked.sort()
    return ranked


def _place(each: Forecast, least: float, scale: float, miss_price: float, home: str | None) -> Ranked:
    offer = each.offer
    if each.p_miss > LATE:
        return Ranked(TOO_LATE, each.lateness, offer.name, each)
    discount = STICKY_DISCOUNT if offer.name == home else 0.0
    if offer.amount == math.inf:
        return Ranked(UNKNOWN_AMOUNT, miss_price * each.p_miss - discount, offer.name, each)
    return Ranked(IN_TIME, (offer.amount - least) / scale + miss_price * each.p_miss - discount, offer.name, each)


def _dearest(candidates: Sequence[Offer]) -> float:
    """The greatest known amount (offers ascend, unknown last)."""
    return next((offer.amount for offer in reversed(candidates) if offer.amount != math.inf), 0.0)

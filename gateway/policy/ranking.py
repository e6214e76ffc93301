"""Members in order: how probable a miss is on each, and what it would cost to avoid it. Pure functions.

    J = (amount - least amount) / scale + price of a miss * P(SLA missed)

`scale` is what the class typically pays, at least what its cheapest member that meets the target costs now, at least
a thousandth of the dearest: so a free member or a wide span can not blow the ratio up, and an answer in time is not
traded away for a cheap late one. See docs/decisions/0041.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from gateway.domain.catalog import Objective
from gateway.domain.route import Quote, RouteAsk
from gateway.domain.value import value
from gateway.policy.estimators import below
from gateway.policy.fleet import MemberState
from gateway.policy.sla import UNBOUNDED, Bounds, bounds_left
from gateway.policy.strategies import cost, strategy_of

LATE = 0.5  # more likely late than not: does not meet the SLA
SCALE_FLOOR = 0.001  # of the dearest member's amount
STICKY_DISCOUNT = 0.25  # a conversation moves only for more than a quarter of what its class typically pays
LENGTH_MARGIN = 1.6  # a deadline must hold for an answer this much longer than expected
IN_TIME, UNKNOWN_AMOUNT, TOO_LATE = 0, 1, 2
PRIORITY = Objective.PRIORITY

# Plain tuples, since each decision makes one of each per member, and a named one costs eight times as much.
Offer = tuple[float, str, Quote, MemberState]  # amount (infinite: unknown), name, quote, state: orders by amount, name
Forecast = tuple[float, float, float, float]  # ttft_ms, tpot_ms, p_miss, lateness (0 if in time)
Ranked = tuple[int, float, str, Offer, Forecast]  # bucket, J (lateness if late), name: so the order is total


@value
class Terms:
    """What a class pays: for a miss (in typical requests) and typically (in the objective's unit)."""

    miss_price: float
    typical: float


def offers(ask: RouteAsk, fit: Sequence[tuple[Quote, MemberState]]) -> list[Offer]:
    """Ascending. Where nobody's energy or carbon is known, dollars decide."""
    amount_of = strategy_of(ask.model)
    found: list[Offer] = []
    for quote, state in fit:
        amount = amount_of(quote)
        found.append((math.inf if amount is None else amount, state.name, quote, state))
    found.sort()
    if found[0][0] == math.inf:
        found = sorted((cost(quote) or 0, name, quote, state) for _, name, quote, state in found)
    return found


def forecast(quote: Quote, state: MemberState, bounds: Bounds, now: float) -> Forecast:
    """What this request would meet there, with the load of this instant."""
    load, first, token = state.load, state.ttft.residual, state.tpot.residual
    base, per_input, per_queued, per_flight = state.ttft.regression.weights
    ttft_ms = (
        base + 0.001 * (per_input * quote.input_tokens + per_queued * load.queued_tokens) + per_flight * load.in_flight
    )
    tpot_base, per_active = state.tpot.regression.weights
    tpot_ms = tpot_base + per_active * load.active()
    kept, output = 1.0, quote.output_tokens_expected
    if ttft_ms * first.sure > bounds.ttft_ms:
        kept = below(bounds.ttft_ms, ttft_ms, first.mean, first.sd)
    if tpot_ms * token.sure > bounds.tpot_ms and output >= 2:
        kept *= below(bounds.tpot_ms, tpot_ms, token.mean, token.sd)
    if bounds.end_bounded:
        head_ms, tail_ms = ttft_ms * first.factor, tpot_ms * token.factor * (output - 1 if output else 0)
        spread = (head_ms * first.sd + tail_ms * token.sd) / (head_ms + tail_ms or 1.0)
        kept *= below(bounds.end_ms(output), head_ms + tail_ms, 0.0, spread or first.sd)
        if bounds.deadline_ms != UNBOUNDED:
            kept *= below(bounds.deadline_ms, head_ms + LENGTH_MARGIN * tail_ms, 0.0, spread or first.sd)
    if now < load.errors.fresh_until:
        kept *= 1.0 - load.errors.share(now)
    late = 0.0 if kept >= 1.0 - LATE else lateness(bounds, ttft_ms * first.factor, tpot_ms * token.factor, output)
    return ttft_ms, tpot_ms, 1.0 - kept, late


def lateness(bounds: Bounds, ttft_ms: float, tpot_ms: float, output_tokens: int) -> float:
    """The greatest ratio of a time to its bound: among those that are late, the least is the fastest that counts."""
    end_ms = ttft_ms + tpot_ms * max(0, output_tokens - 1)
    return max(
        ttft_ms / max(bounds.ttft_ms, 1.0),
        tpot_ms / bounds.tpot_ms if output_tokens >= 2 else 0.0,
        end_ms / max(bounds.end_ms(output_tokens), 1.0),
        end_ms / max(bounds.deadline_ms, 1.0),
    )


def rank(
    ask: RouteAsk, rising: Sequence[Offer], terms: Terms, home: str | None, wanted: int, now: float
) -> list[Ranked]:
    """Best first. Walks up from the cheapest and ends where nobody dearer can still be among the `wanted` best."""
    bounds, miss_budget = bounds_left(ask, now), 1.0 - ask.sla.target
    seen: list[tuple[Offer, Forecast]] = []
    in_time, meeting = 0, 0.0
    for offer in rising:
        amount, _, quote, state = offer
        each = forecast(quote, state, bounds, now)
        seen.append((offer, each))
        p_miss = each[2]
        if p_miss <= LATE:
            in_time += 1
            if p_miss <= miss_budget and not meeting and amount != math.inf:
                meeting = amount or math.ulp(0.0)
            if meeting and in_time >= wanted:
                break
    least, dearest = rising[0][0], rising[-1][0]
    if dearest == math.inf:
        dearest = max(amount for amount, *_ in rising if amount != math.inf)
    scale, miss_price = max(terms.typical, meeting, SCALE_FLOOR * dearest) or 1.0, terms.miss_price
    if ask.model.objective is PRIORITY:  # the order declared holds among all that are in time
        scale, miss_price = 1.0, 0.0
    ranked = [_place(offer, each, least, scale, miss_price, home) for offer, each in seen]
    ranked.sort()
    if len(seen) == len(rising):
        return ranked
    bucket, limit, *_ = ranked[wanted - 1]
    for offer in rising[len(seen) :]:
        if bucket == IN_TIME and (offer[0] - least) / scale - STICKY_DISCOUNT >= limit:
            break
        ranked.append(_place(offer, forecast(offer[2], offer[3], bounds, now), least, scale, miss_price, home))
    ranked.sort()
    return ranked


def _place(offer: Offer, each: Forecast, least: float, scale: float, miss_price: float, home: str | None) -> Ranked:
    amount, name, _, _ = offer
    _, _, p_miss, lateness = each
    if p_miss > LATE:
        return TOO_LATE, lateness, name, offer, each
    price = miss_price * p_miss - (STICKY_DISCOUNT if name == home else 0.0)
    if amount == math.inf:
        return UNKNOWN_AMOUNT, price, name, offer, each
    return IN_TIME, (amount - least) / scale + price, name, offer, each

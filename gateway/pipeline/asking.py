"""From a route and a request's counters to one reserve."""

from __future__ import annotations

from gateway.domain.amounts import Amounts, Unit
from gateway.domain.budgets import Ask, Candidate, Counter
from gateway.domain.route import Choice, Route
from gateway.pipeline.quoting import held, prompt_only
from gateway.pipeline.walk import Walk

CANDIDATES_MAX = 3  # per reserve; the script's cost grows with each
# A lease outlives the longest stream a backend may send (total_ms) by this, so that a live request never expires.
LEASE_MARGIN_MS = 60_000


def ask_of(walk: Walk, route: Route, attempt: int) -> Ask:
    """Hold one of the route's first candidates on all of the request's counters, or none."""
    requests = 0 if walk.request_booked else 1
    choices = route.candidates[:CANDIDATES_MAX]
    total_ms = max(walk.snapshot.backends[choice.quote.member.backend].timeouts.total_ms for choice in choices)
    return Ask(
        root=walk.root,
        request_id=walk.record.request_id,
        attempt=attempt,
        candidates=tuple(candidate_of(choice, requests, walk.counters) for choice in choices),
        watermark=counted_as(prompt_only(choices[0].quote), requests),
        lease_ms=total_ms + LEASE_MARGIN_MS,
        key_id=walk.incoming.identity.key_id,
    )


def candidate_of(choice: Choice, requests: int, counters: tuple[Counter, ...]) -> Candidate:
    """What a hold on this choice claims: the rated cost at the greatest output it covers."""
    quote = choice.quote
    return Candidate(quote.member.name, counted_as(held(quote), requests), counters)


def counted_as(amounts: Amounts, requests: int) -> Amounts:
    """The same amounts, counting as `requests` requests (0 for a further attempt of one already counted)."""
    if amounts.requests == requests:
        return amounts
    return Amounts(amounts.usd_nanos, amounts.energy_mj, amounts.carbon_ug, amounts.tokens, requests)


def limits_unit(counters: tuple[Counter, ...], unit: Unit) -> bool:
    """Whether an enforced limit in that unit applies: then members whose amount is unknown are ineligible."""
    return any(limited is unit for counter in counters for limited, _ in counter.limits)

"""Quotes, and the router's answer: candidates in order, and why each other member was passed over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from gateway.domain.amounts import Amounts
from gateway.domain.catalog import Backend, Member, ServedModel, SlaClass
from gateway.domain.value import value


class Reason(StrEnum):
    """Why a member was chosen, or not. Label of `joulegate_route_decisions_total`; closed set."""

    CHEAPEST = "cheapest"
    CHEAPEST_IN_SLA = "cheapest_in_sla"  # cheaper ones would miss the SLA
    ONLY = "only"
    FALLBACK = "fallback"  # an earlier attempt failed
    BUDGET = "budget"  # a dearer candidate did not fit the budgets
    FASTEST = "fastest"  # none meets the SLA: the fastest serves
    PROBE = "probe"  # a cold or recovering backend is tried
    STICKY = "sticky"  # the conversation stays where it is
    DEARER = "dearer"
    MISSES_SLA = "misses_sla"
    BREAKER_OPEN = "breaker_open"
    SATURATED = "saturated"
    SLOW_START = "slow_start"
    SILENT = "silent"  # an earlier request there has waited far too long for its first word
    LACKS_CAPABILITY = "lacks_capability"
    CONTEXT_TOO_LONG = "context_too_long"
    ENERGY_UNKNOWN = "energy_unknown"
    DRAINED = "drained"
    TRIED = "tried"


@value
class Quote:
    """What this request would cost on one member.

    input_tokens: counted or estimated for this member's tokenizer; exact says which.
    output_tokens_max: the most it can produce, all choices together. output_tokens_held: what a hold covers.
    expected: marginal amounts at the expected output: routing ranks by it.
    """

    member: Member
    input_tokens: int
    input_exact: bool
    output_tokens_expected: int
    output_tokens_max: int
    output_tokens_held: int
    expected: Amounts


@value
class Choice:
    """A candidate: its quote, why it stands where it stands, and what we predict of it (milliseconds)."""

    quote: Quote
    reason: Reason
    ttft_ms: float
    tpot_ms: float
    p_miss: float


@value
class PassedOver:
    """A member that is not a candidate, and why."""

    member: str
    reason: Reason


@value
class Route:
    """Candidates, best first, and everyone else with a reason."""

    candidates: tuple[Choice, ...]
    passed_over: tuple[PassedOver, ...]


@dataclass(frozen=True, slots=True)
class Reject:
    """Nobody can serve this: no_backend, or no_backend_meets_sla where the class says reject."""

    code: str
    passed_over: tuple[PassedOver, ...]
    retry_after_s: float | None = None


@value
class RouteAsk:
    """All a routing decision depends on beside what the router has learned. Times are monotonic seconds.

    quotes: one per member of the served model. tried: members that failed this request already.
    energy_required, carbon_required: an enforcing budget in that unit applies, so members of whom it is unknown are
    ineligible (carbon is unknown where the grid is, even if energy is known).
    """

    model: ServedModel
    sla: SlaClass
    quotes: tuple[Quote, ...]
    needs: frozenset[str]
    stream: bool
    backends: Mapping[str, Backend]
    accepted: float
    deadline: float | None = None
    session: str | None = None
    tried: frozenset[str] = frozenset()
    energy_required: bool = False
    carbon_required: bool = False

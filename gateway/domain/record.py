"""`joulegate.record/1`: one per request with a valid key, refused and cancelled ones included (law 1).

Everything that bills, reports, replays or plans reads these. No prompts, no answers, no keys.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from gateway.domain.amounts import Amounts
from gateway.domain.usage import NO_USAGE, TokenUsage

SCHEMA = "joulegate.record/1"


class Outcome(StrEnum):
    """How a request ended; label of `joulegate_requests_total`."""

    SERVED = "served"
    CLIENT_LEFT = "client_left"
    BUDGET_DENIED = "budget_denied"
    RATE_LIMITED = "rate_limited"
    INVALID = "invalid"
    NOT_ALLOWED = "not_allowed"
    NO_BACKEND = "no_backend"
    UPSTREAM_REJECTED = "upstream_rejected"  # the upstream's 4xx, passed verbatim
    UPSTREAM_FAILED = "upstream_failed"
    INCOMPLETE = "incomplete"  # a stream began and broke
    UNAVAILABLE = "unavailable"  # ledger away, overloaded, draining
    INTERNAL = "internal"


class AttemptResult(StrEnum):
    """How an attempt ended, which is also whether it may have been billed."""

    SERVED = "served"
    CANCELLED = "cancelled"  # the client left: charged for what was streamed
    UNSENT = "unsent"  # nothing reached the upstream
    REJECTED_UNBILLED = "rejected_unbilled"
    BROKEN = "broken"  # the stream ended early: charged for what arrived
    UNKNOWN = "unknown"  # sent, no answer: charged prompt plus counted output


@dataclass(slots=True)
class AttemptRecord:
    """One attempt on one member. Times are milliseconds since the request was accepted."""

    attempt: int
    backend: str
    member: str
    upstream_model: str
    reason: str
    profile: str
    profile_version: str
    result: AttemptResult = AttemptResult.UNSENT
    status: int | None = None
    error: str | None = None  # a FailureKind
    error_detail: str | None = None  # in words, without anything of the caller's
    sent_ms: float = 0.0
    first_byte_ms: float | None = None
    first_token_ms: float | None = None
    last_token_ms: float | None = None
    ended_ms: float = 0.0
    predicted_ttft_ms: float | None = None
    predicted_tpot_ms: float | None = None
    p_miss: float | None = None
    usage: TokenUsage = NO_USAGE
    held: Amounts | None = None
    marginal: Amounts | None = None
    rated: Amounts | None = None
    attributed: Amounts | None = None
    energy_tier: str | None = None
    energy_boundary: str | None = None
    zone: str | None = None
    ledger: str = ""  # settled, released, unsettled (will be reconciled), none


@dataclass(slots=True)
class UsageRecord:
    """One request. Built up while it runs, written once at its end."""

    request_id: str
    started_wall_ms: int
    kind: str
    key_id: str
    team: str
    org: str
    schema: str = SCHEMA
    project: str | None = None
    gateway: str = ""
    policy_version: str = ""
    client_request_id: str | None = None
    traceparent: str | None = None
    session: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    sdk_retry: int = 0
    model: str = ""
    sla_class: str = ""
    stream: bool = False
    body_bytes: int = 0
    outcome: Outcome = Outcome.INTERNAL
    status: int = 0
    error_code: str | None = None
    error_param: str | None = None
    input_tokens_estimated: int = 0
    input_estimate_exact: bool = False
    output_tokens_expected: int = 0
    output_tokens_max: int = 0
    backend: str | None = None
    member: str | None = None
    usage: TokenUsage = NO_USAGE
    marginal: Amounts | None = None
    rated: Amounts | None = None
    attributed: Amounts | None = None
    baseline_dearest_usd_nanos: int | None = None  # this usage on the dearest member: savings are the difference
    ttft_ms: float | None = None
    tpot_ms: float | None = None
    duration_ms: float = 0.0
    overhead_ms: float = 0.0  # accepted to sent upstream, plus last upstream byte to last byte out
    sla_met: bool | None = None  # None: left out of the count (client left, refused)
    candidates: list[str] = field(default_factory=list)
    passed_over: dict[str, str] = field(default_factory=dict)
    attempts: list[AttemptRecord] = field(default_factory=list)

"""The state of one request while it walks through the house, and of each attempt on the way."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from gateway.dialects.openai import StreamReader
from gateway.domain.amounts import NOTHING, Amounts, Unit
from gateway.domain.bill import Bill
from gateway.domain.budgets import Counter, Hold
from gateway.domain.call import ModelCall
from gateway.domain.catalog import Member, Snapshot
from gateway.domain.faults import BackendFailed, FailureKind
from gateway.domain.record import AttemptRecord, AttemptResult, Outcome, UsageRecord
from gateway.domain.refusal import Refusal, RefusalCode
from gateway.domain.route import Choice, RouteAsk
from gateway.domain.tenancy import Identity
from gateway.domain.usage import TokenUsage
from gateway.metering.attribution import Base, Mark
from gateway.pipeline.headers import bill_of
from gateway.pipeline.incoming import Incoming
from gateway.policy.fleet import Ticket
from gateway.ports import Reply


@dataclass(slots=True)
class Walk:
    """One request. The record is filled on the way and written once, when every attempt is closed."""

    incoming: Incoming
    reply: Reply
    snapshot: Snapshot
    record: UsageRecord
    root: str
    call: ModelCall = field(init=False)  # set once parsed; no attempt exists before
    ask: RouteAsk = field(init=False)
    counters: tuple[Counter, ...] = ()
    request_booked: bool = False  # an attempt's hold already carries `requests=1`
    unclosed: list[tuple[Attempt, Base, float]] = field(default_factory=list)  # with their ends, monotonic seconds
    closings: list[asyncio.Task[None]] = field(default_factory=list)  # under way beside the request: retries, drains
    last_attempt: Attempt | None = None
    booked_before: Amounts = NOTHING  # rated cost of earlier attempts that may have been billed

    def bill(self, member: Member, rated: Amounts, hold: Hold) -> Bill:
        """What the caller is told: this attempt, the lost ones before it, and the session's total so far."""
        total = rated + self.booked_before
        return bill_of(self.incoming.identity, member, total, session_total(hold, total))

    def since_accepted_ms(self, now: float) -> float:
        """Milliseconds from acceptance to `now` (monotonic seconds)."""
        return (now - self.incoming.accepted) * 1_000

    def end(self, outcome: Outcome, status: int) -> None:
        """Say how the request ended."""
        self.record.outcome = outcome
        self.record.status = status


@dataclass(slots=True)
class Attempt:
    """One attempt on one member: its hold, its place in the router's and the books' counts, and what came of it."""

    hold: Hold
    choice: Choice
    ticket: Ticket
    mark: Mark
    record: AttemptRecord
    started: float
    sent: bool = False
    reader: StreamReader | None = None
    first_token: float | None = None
    last_token: float | None = None
    usage: TokenUsage | None = None  # sane and reported by the backend
    output_texts: tuple[str, ...] = ()  # to be counted when no usage came
    rated: Amounts | None = None
    bill: Bill | None = None  # what the caller was told, once a whole answer was priced
    failure: FailureKind | None = None
    retry_after_s: float | None = None
    result: AttemptResult = AttemptResult.UNSENT
    complete: bool = False
    closed: bool = False
    out_of_time: bool = False  # the caller's own deadline ended it: that says nothing about the backend
    draining: bool = False  # the client left, and the answer is read on in aftercare
    body_task: asyncio.Task[bytes] | None = None  # a whole answer of a backend that is drained

    def failed(self, fault: BackendFailed) -> None:
        """Remember an upstream's failure; what was sent and got no answer may have been billed."""
        self.failure = None if self.out_of_time else fault.kind
        self.retry_after_s = fault.retry_after_s
        self.record.status = fault.status
        self.record.error_detail = fault.message
        if self.result is AttemptResult.UNSENT and fault.sent:
            self.result = AttemptResult.UNKNOWN


def session_total(hold: Hold, rated: Amounts) -> int | None:
    """The session's dollars up to the reserve, plus this request; None for a call outside any session."""
    for balance in hold.balances:
        if balance.counter.key.startswith("session:"):
            return balance.spent.get(Unit.USD_NANOS, 0) + rated.usd_nanos
    return None


UPSTREAM_STATUS = {
    401: FailureKind.AUTH,
    403: FailureKind.AUTH,
    404: FailureKind.PROTOCOL,  # address and model are ours, not the caller's
    405: FailureKind.PROTOCOL,
    429: FailureKind.RATE_LIMITED,
    503: FailureKind.OVERLOADED,
}


def failure_of(status: int) -> FailureKind:
    """What an upstream's error status means to us."""
    if status in UPSTREAM_STATUS:
        return UPSTREAM_STATUS[status]
    return FailureKind.SERVER if status >= 500 else FailureKind.REJECTED


def refusal_for(attempt: Attempt, identity: Identity) -> Refusal:
    """What the caller hears when the last attempt failed before a byte went down."""
    if attempt.out_of_time:
        message = "The deadline you set with x-joulegate-deadline-ms passed before a backend had answered."
        return Refusal(RefusalCode.UPSTREAM_TIMEOUT, message, param="x-joulegate-deadline-ms")
    timed_out = attempt.failure is FailureKind.TIMEOUT
    what = "it refused the gateway's own credentials, which its operator must mend"
    if attempt.failure is not FailureKind.AUTH:
        what = f"it failed: {attempt.failure}"
    backend = attempt.record.backend if "backend" in identity.expose else "a backend"
    return Refusal(
        code=RefusalCode.UPSTREAM_TIMEOUT if timed_out else RefusalCode.UPSTREAM_ERROR,
        message=f"No backend could answer. Last tried was {backend}; {what}.",
        retry_after_s=attempt.retry_after_s,
    )

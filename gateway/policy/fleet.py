"""What one process knows of its backends and members, kept by what the pipeline reports of each attempt.

`Load` belongs to a backend (its members share slots, health and power), `MemberState` to a member, `Ticket` to an
attempt. Nothing here decides; `gateway/policy/router.py` reads it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gateway.domain.catalog import Latency, SlaClass
from gateway.domain.faults import FailureKind
from gateway.domain.route import PassedOver, Reason
from gateway.policy import breaker as breakers
from gateway.policy.breaker import Breaker, Errors, Event, Phase, Throttle
from gateway.policy.estimators import EstimatorState, tpot_estimator, ttft_estimator
from gateway.policy.sla import met

PROBE, SUCCESS, CLOSED = Reason.PROBE, Event.SUCCESS, Phase.CLOSED  # an enum's attribute is slow to look up
SILENCE_FACTOR = 1.5
SILENCE_SLACK_S = 0.3
CANARY_AFTER_S = 8.0
CANARY_AFTER_GOOD_NEWS_S = 1.0  # a canary came back sooner than believed: ask again soon, or recovery takes minutes
HEALTH_FAILURES = frozenset(
    {
        FailureKind.CONNECT,
        FailureKind.TIMEOUT,
        FailureKind.RESET,
        FailureKind.PROTOCOL,
        FailureKind.OVERLOADED,
        FailureKind.SERVER,
        FailureKind.AUTH,
    }
)


class Load:
    """What is on a backend now, and how it behaved. `waiting` and `whole` are in order of their start."""

    __slots__ = (
        "breaker",
        "concurrent_max",
        "drained",
        "errors",
        "heard_at",
        "in_flight",
        "queued_tokens",
        "throttle",
        "waiting",
        "whole",
    )

    def __init__(self) -> None:
        self.in_flight = 0
        self.queued_tokens = 0  # prompts sent on streams that have not spoken yet
        self.waiting: dict[Ticket, None] = {}  # streams without a first token
        self.whole: dict[Ticket, None] = {}  # non-streaming requests
        self.heard_at = 0.0
        self.concurrent_max = 1
        self.drained = False
        self.breaker: Breaker = breakers.CLOSED
        self.throttle = Throttle()
        self.errors = Errors()

    def active(self) -> float:
        """Sequences that one more request would decode among, itself included; those waiting count half."""
        return self.in_flight - 0.5 * len(self.waiting) + 1.0

    def rests_until(self) -> float:
        """When the breaker's wait and the rest a 429 asked for are over."""
        waits = self.breaker.until if self.breaker.phase is not Phase.CLOSED else 0.0
        return max(waits, self.throttle.until)

    def silent(self, now: float) -> bool:
        """Whether the oldest request has waited far too long and the backend has said nothing since it was due."""
        for pending in (self.waiting, self.whole):
            if pending:
                due_at = next(iter(pending)).due_at
                if now > due_at > self.heard_at:
                    return True
        return False


class MemberState:
    """What has been learned of one member.

    hopeful: the last canary came back sooner than believed. probe_until: a canary is out, so no second one goes.
    """

    __slots__ = ("dearer", "hopeful", "late", "load", "name", "probe_until", "tpot", "ttft")

    def __init__(self, name: str, load: Load, prior: Latency) -> None:
        self.name = name
        self.dearer = PassedOver(name, Reason.DEARER)  # said of most members in most decisions: made once, as is
        self.late = PassedOver(name, Reason.MISSES_SLA)
        self.load = load
        self.ttft = ttft_estimator(prior)
        self.tpot = tpot_estimator(prior)
        self.probe_until = 0.0
        self.hopeful = False

    def wants_canary(self, now: float) -> bool:
        """No sample for a while, and no canary on its way."""
        wait_s = CANARY_AFTER_GOOD_NEWS_S if self.hopeful else CANARY_AFTER_S
        return now - self.ttft.last_at > wait_s and now > self.probe_until

    def saw_first(self, ticket: Ticket, ttft_ms: float, now: float, *, predicted_ms: float | None = None) -> None:
        """Learn a TTFT; what a canary says of an old belief decides when the next one goes."""
        canary = ticket.reason is PROBE or ticket.trial
        believed = self.ttft.residual.mean
        self.ttft.observe(ticket.features, ttft_ms, now, canary=canary, predicted_ms=predicted_ms)
        if canary:
            self.hopeful = self.ttft.residual.mean < believed
            self.probe_until = 0.0

    @property
    def seen(self) -> bool:
        """Whether there is anything to tell that the profile does not say."""
        return self.ttft.samples > 0 or self.tpot.samples > 0

    def export(self, now: float) -> tuple[EstimatorState, EstimatorState]:
        """TTFT and TPOT, as plain values."""
        return self.ttft.export(now), self.tpot.export(now)

    def absorb(self, state: tuple[EstimatorState, EstimatorState], now: float) -> None:
        """Take over what was learned elsewhere."""
        self.ttft.absorb(state[0], now)
        self.tpot.absorb(state[1], now)


@dataclass(slots=True, eq=False)
class Ticket:
    """One attempt, from `on_start` to `on_end`. Opaque to callers.

    features: of the TTFT prediction, as they were at the start. due_at: when silence becomes evidence (seconds).
    """

    member: MemberState
    sla: SlaClass
    stream: bool
    reason: Reason
    first_attempt: bool
    accepted: float
    started: float
    input_tokens: int
    features: tuple[float, float, float, float]
    active: float
    due_at: float = 0.0
    first_token_at: float | None = None
    trial: bool = False
    ended: bool = False


def begin(ticket: Ticket, ttft_ms: float, tpot_ms: float, output_tokens_max: int) -> None:
    """Count an attempt in; it weighs on the next decision at once."""
    member, load = ticket.member, ticket.member.load
    canary = ticket.reason is PROBE or load.silent(ticket.started)
    load.in_flight += 1
    silence_ms = member.ttft.p99_ms(ttft_ms)
    if ticket.stream:
        load.waiting[ticket] = None
        load.queued_tokens += ticket.input_tokens
    else:
        load.whole[ticket] = None
        silence_ms += member.tpot.p99_ms(tpot_ms) * output_tokens_max
    ticket.due_at = ticket.started + SILENCE_FACTOR * silence_ms / 1000.0 + SILENCE_SLACK_S
    if load.breaker.phase is not CLOSED and breakers.admits(load.breaker, ticket.started):
        ticket.trial = True
        load.breaker = breakers.step(load.breaker, Event.TRIAL, ticket.started, 0.5)
    if canary:
        member.probe_until = max(ticket.due_at, ticket.started + CANARY_AFTER_S)


def first_token(ticket: Ticket, now: float) -> None:
    """A stream spoke: a TTFT sample, the end of a half-open trial, and one prompt less in the queue."""
    load = ticket.member.load
    load.heard_at = now
    if not ticket.stream or ticket.ended or ticket.first_token_at is not None:
        return
    ticket.first_token_at = now
    _leave_queue(ticket)
    ticket.active = load.active() - 1.0
    ticket.member.saw_first(ticket, (now - ticket.started) * 1000.0, now)
    _hear(ticket, Event.SUCCESS, now, 0.5)


def _leave_queue(ticket: Ticket) -> None:
    load = ticket.member.load
    if load.waiting.pop(ticket, ticket) is None:
        load.queued_tokens -= ticket.input_tokens


def _hear(ticket: Ticket, event: Event, now: float, chance: float) -> None:
    """Tell the breaker; while it is not closed, only its trial is worth listening to."""
    load = ticket.member.load
    if event is SUCCESS and load.breaker is breakers.CLOSED and not ticket.trial:
        return  # as nearly always: nothing to forgive
    if load.breaker.phase is CLOSED or ticket.trial:
        load.breaker = breakers.step(load.breaker, event, now, chance)
        ticket.trial = ticket.trial and event not in (Event.SUCCESS, Event.CENSORED)


def finish(
    ticket: Ticket,
    now: float,
    *,
    output_tokens: int,
    failure: FailureKind | None,
    client_left: bool,
    retry_after_s: float | None,
    random: Callable[[], float],
) -> None:
    """Count an attempt out, once, and learn what it has to teach. A client that left teaches nothing."""
    if ticket.ended:
        return
    ticket.ended = True
    load = ticket.member.load
    in_flight = load.in_flight
    active = load.active() - 1.0
    _leave_queue(ticket)
    load.whole.pop(ticket, None)
    load.in_flight -= 1
    if failure is not None:
        if failure is FailureKind.RATE_LIMITED or (failure is FailureKind.OVERLOADED and retry_after_s is not None):
            load.throttle.refused(in_flight, now, retry_after_s, random())
        _failed(ticket, now, failure, random)
    elif client_left:
        _hear(ticket, Event.CENSORED, now, 0.5)
    else:
        load.heard_at = now
        load.throttle.served(load.concurrent_max)
        _learn_speed(ticket, now, output_tokens, 0.5 * (ticket.active + active))
        _hear(ticket, SUCCESS, now, 0.5)


def _failed(ticket: Ticket, now: float, failure: FailureKind, random: Callable[[], float]) -> None:
    load = ticket.member.load
    if failure in HEALTH_FAILURES:
        timed_out = failure is FailureKind.TIMEOUT
        load.errors.failed(now, fast=not timed_out and ticket.first_token_at is None)
        _hear(ticket, Event.TIMEOUT if timed_out else Event.FAILURE, now, random())
    else:  # it answered: too much, or the caller's fault
        load.heard_at = now
        _hear(ticket, SUCCESS, now, 0.5)


def _learn_speed(ticket: Ticket, now: float, output_tokens: int, active: float) -> None:
    """A stream gives a TPOT sample; a whole answer is shared out between both as our prediction would."""
    member, after = ticket.member, max(0, output_tokens - 1)
    if ticket.stream:
        if ticket.first_token_at is not None and after:
            member.tpot.observe((1.0, active), (now - ticket.first_token_at) * 1000.0 / after, now)
        return
    canary = ticket.reason is PROBE or ticket.trial
    ttft_ms, tpot_ms = member.ttft.predict_ms(ticket.features), member.tpot.predict_ms((1.0, active))
    ratio = (now - ticket.started) * 1000.0 / (ttft_ms + tpot_ms * after)
    member.saw_first(ticket, ttft_ms * ratio, now, predicted_ms=ttft_ms)
    if after:
        member.tpot.observe((1.0, active), tpot_ms * ratio, now, canary=canary, predicted_ms=tpot_ms)


def kept_promise(ticket: Ticket, now: float, output_tokens: int) -> bool | None:
    """Whether a complete answer that ends now met its class, as far as can be seen."""
    first = ticket.first_token_at
    return met(
        ticket.sla,
        stream=ticket.stream,
        ttft_ms=None if first is None else (first - ticket.accepted) * 1000.0,
        tpot_ms=None if first is None or output_tokens < 2 else (now - first) * 1000.0 / (output_tokens - 1),
        e2e_ms=(now - ticket.accepted) * 1000.0,
        output_tokens=output_tokens,
    )

"""What a backend's failures do to it: circuit breaker, learned concurrency cap, remembered error rate.

Three small state machines; the first is a plain function `(state, event) -> state`. Constants: the tested prototype
of a cost-aware router (three failures in a row or a timeout open for 2 s * 2^k, +-25 %, at most 12 s; half-open with
one request; a 429 lowers a learned cap to 0.9 of what was in flight, each success gives 1/cap back; errors weigh
0.15, 0.35 of that when they were fast enough for another attempt to meet the SLA, and are forgotten with 6 s).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum

FAILURES_IN_A_ROW = 3
OPEN_FIRST_S = 2.0
OPEN_MAX_S = 12.0
JITTER = 0.25
TRIAL_S = 60.0  # a half-open trial that says nothing for this long lets the next one try

CAP_BACK_OFF = 0.9
REST_FIRST_S = 0.5  # from the second 429 in a row without Retry-After: a rate limit looks like a full queue
REST_MAX_S = 12.0
RETRY_AFTER_MAX_S = 120.0  # what an upstream may ask for; longer is asked again

ERROR_WEIGHT = 0.15
FAST_ERROR_SHARE = 0.35
ERROR_MEMORY_S = 6.0
FORGOTTEN_S = 9.2 * ERROR_MEMORY_S  # e^-9.2 is a ten-thousandth


class Phase(StrEnum):
    """Where a breaker stands; value of `joulegate_breaker_state`."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Event(StrEnum):
    """What a breaker hears. TRIAL: the one half-open request was sent; CENSORED: its client left, nothing learned."""

    SUCCESS = "success"
    FAILURE = "failure"
    TIMEOUT = "timeout"
    TRIAL = "trial"
    CENSORED = "censored"


@dataclass(frozen=True, slots=True)
class Breaker:
    """failures: in a row while closed. trips: openings since the last success. until: when a trial may go (seconds)."""

    phase: Phase = Phase.CLOSED
    failures: int = 0
    trips: int = 0
    until: float = 0.0


CLOSED = Breaker()


def admits(breaker: Breaker, now: float) -> bool:
    """Whether a request may be sent: always while closed, else only as a trial once the wait is over."""
    return breaker.phase is Phase.CLOSED or now >= breaker.until


def step(breaker: Breaker, event: Event, now: float, chance: float) -> Breaker:
    """The next state. `chance` in [0, 1) places the jitter.

    While open, only TRIAL counts: what earlier requests still report must neither close the breaker nor lengthen it.
    While half-open the caller passes on only what the trial itself reports.
    """
    if breaker.phase is Phase.CLOSED:
        return _closed(breaker, event, now, chance)
    if event is Event.TRIAL:
        return replace(breaker, phase=Phase.HALF_OPEN, until=now + TRIAL_S)
    if breaker.phase is Phase.OPEN:
        return breaker
    if event is Event.SUCCESS:
        return CLOSED
    if event is Event.CENSORED:
        return replace(breaker, phase=Phase.OPEN, until=now)
    return _opened(breaker.trips, now, chance)


def _closed(breaker: Breaker, event: Event, now: float, chance: float) -> Breaker:
    if event is Event.SUCCESS:
        return CLOSED
    if event is Event.TIMEOUT or (event is Event.FAILURE and breaker.failures + 1 >= FAILURES_IN_A_ROW):
        return _opened(breaker.trips, now, chance)
    return replace(breaker, failures=breaker.failures + 1) if event is Event.FAILURE else breaker


def _opened(trips: int, now: float, chance: float) -> Breaker:
    wait_s = OPEN_FIRST_S * 2.0 ** min(trips, 8) * (1.0 - JITTER + 2.0 * JITTER * chance)
    return Breaker(Phase.OPEN, 0, trips + 1, now + min(OPEN_MAX_S, wait_s))


class Throttle:
    """The concurrency a backend takes before it says 429, learned; and the rest it asked for."""

    __slots__ = ("cap", "refusals", "until")

    def __init__(self) -> None:
        self.cap = math.inf
        self.refusals = 0
        self.until = 0.0

    def refused(self, in_flight: int, now: float, retry_after_s: float | None, chance: float) -> None:
        """A 429 (or a 503 that names a time) came while `in_flight` requests, this one included, were there."""
        self.cap = max(1.0, CAP_BACK_OFF * min(in_flight, self.cap))
        self.refusals += 1
        if retry_after_s is not None:
            rest_s = min(max(retry_after_s, 0.0), RETRY_AFTER_MAX_S)
        elif self.refusals > 1:
            rest_s = min(REST_MAX_S, REST_FIRST_S * 2.0 ** min(self.refusals - 2, 8) * (1.0 - JITTER * chance))
        else:
            rest_s = 0.0
        self.until = max(self.until, now + rest_s)

    def served(self, concurrent_max: int) -> None:
        """A success gives 1/cap back; a cap that reaches the declared bound is forgotten."""
        self.refusals = 0
        if self.cap < concurrent_max:
            self.cap += 1.0 / self.cap
        else:
            self.cap = math.inf

    def admits(self, in_flight: int, now: float) -> bool:
        """Whether one more request would fit under the learned cap, and no rest is running."""
        return in_flight < self.cap and now >= self.until


class Errors:
    """Share of recent attempts that failed, decayed by time. `fresh_until`: after that nothing is remembered."""

    __slots__ = ("_at", "_share", "fresh_until")

    def __init__(self) -> None:
        self._share = 0.0
        self._at = 0.0
        self.fresh_until = -math.inf

    def failed(self, now: float, *, fast: bool) -> None:
        """Remember a failure; a fast one weighs less, because another attempt can still meet the SLA."""
        share = self.share(now)
        self._share = share + (1.0 - share) * ERROR_WEIGHT * (FAST_ERROR_SHARE if fast else 1.0)
        self._at = now
        self.fresh_until = now + FORGOTTEN_S

    def share(self, now: float) -> float:
        """The remembered error rate; below a ten-thousandth of it is nothing."""
        if now > self.fresh_until:
            return 0.0
        return self._share * math.exp(-max(0.0, now - self._at) / ERROR_MEMORY_S)

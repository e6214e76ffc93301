"""Budgets as declared, and the words of the ledger: counters, asks, holds, verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from gateway.domain.amounts import Amounts, Unit
from gateway.domain.value import value


class Mode(StrEnum):
    """What a limit does when it is reached."""

    ENFORCE = "enforce"
    OBSERVE = "observe"


class WindowKind(StrEnum):
    """Calendar windows, in the budget's zone; TOTAL never ends."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"
    TOTAL = "total"


@dataclass(frozen=True, slots=True)
class WindowSpan:
    """One window: its id (part of the counter's key, so nothing is ever reset) and its bounds in UTC milliseconds."""

    id: str
    start_ms: int
    end_ms: int | None  # None: TOTAL


@dataclass(frozen=True, slots=True)
class Budget:
    """A declared limit. `scope` maps of {"org", "team", "project", "key", "model"} to an id, or "*": one counter each.

    kind: "budget" (denied: 402) or "rate" (denied: 429, for limits per minute and on concurrency).
    limits: per unit, as integers of that unit.
    """

    name: str
    scope: Mapping[str, str]
    limits: Mapping[Unit, int]
    window: WindowKind
    zone: str = "UTC"
    mode: Mode = Mode.ENFORCE
    kind: str = "budget"
    when_redis_is_down: str = "closed"
    since_ms: int = 0


@value
class Counter:
    """One Redis counter a request is charged to. `limits` holds only what is enforced, empty: just counted.

    key: without the tenancy tag and the window, e.g. `budget:support-month` or `team:support`.
    report: the reserve's answer carries this counter's balance (for headers and session totals).
    ttl_ms: for counters without a window end (sessions): kept this long after the last touch.
    """

    key: str
    window: WindowSpan
    limits: tuple[tuple[Unit, int], ...] = ()
    name: str = ""
    kind: str = "budget"
    report: bool = False
    ttl_ms: int | None = None


@value
class Candidate:
    """One member a request may be held on: what would be held there, and on which counters."""

    member: str
    amounts: Amounts
    counters: tuple[Counter, ...]


@value
class Ask:
    """One reserve: hold the first candidate whose every limit fits, or none.

    root: the slot tag. key_id: whose request it is; only that key's callers find its summary again.
    """

    root: str
    request_id: str
    attempt: int
    candidates: tuple[Candidate, ...]  # 1 to 3
    watermark: Amounts  # charged if the lease expires: the prompt's cost
    lease_ms: int
    key_id: str


@value
class Balance:
    """Where a counter stood just after a hold: spent and held, by unit. `end_ms` ends its window."""

    counter: Counter
    spent: Mapping[Unit, int]
    held: Mapping[Unit, int]


@value
class Hold:
    """A granted hold; ends once: settled, released or expired."""

    root: str
    request_id: str
    attempt: int
    index: int  # which candidate
    candidate: Candidate
    key_id: str
    balances: tuple[Balance, ...] = ()


@dataclass(frozen=True, slots=True)
class Denial:
    """No candidate fits: the first limit in the way on the first candidate."""

    counter: Counter
    unit: Unit
    limit: int
    spent: int
    held: int
    asked: int | None  # None: this member's amount in that unit is unknown, and a limit is on it


@dataclass(frozen=True, slots=True)
class Stale:
    """The step came after its row was forgotten, or contradicts a final state: nothing was changed."""

    reason: str


@dataclass(frozen=True, slots=True)
class BudgetStatus:
    """One line of `budgets list`: a declared budget's window and where it stands."""

    budget: str
    key: str
    window: WindowSpan
    limits: Mapping[Unit, int]
    spent: Mapping[Unit, int]
    held: Mapping[Unit, int] = field(default_factory=dict)

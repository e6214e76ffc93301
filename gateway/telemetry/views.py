"""What metrics ask of others at each scrape: states that no record holds, as callables that answer from memory.

Each is called on the thread that scrapes and must not wait. All have an empty default, so a process that has no power
model or no budgets simply exposes no such series.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from gateway.domain.budgets import BudgetStatus

Breaker = Literal["closed", "half_open", "open"]
BREAKER_VALUES: Mapping[Breaker, int] = {"closed": 0, "half_open": 1, "open": 2}


@dataclass(frozen=True, slots=True)
class BackendView:
    """One backend now. power_mw, idle_mj: milliwatts, millijoules at the facility boundary; None where unknown."""

    name: str
    up: bool
    in_flight: int
    breaker: Breaker = "closed"
    power_mw: int | None = None
    idle_mj: int | None = None


@dataclass(frozen=True, slots=True)
class SiteView:
    """One site now, facility boundary; None where unknown or uncapped."""

    name: str
    power_mw: int | None = None
    power_cap_mw: int | None = None


@dataclass(frozen=True, slots=True)
class RecorderView:
    """The recorder now: `waiting_max` is where new requests are refused."""

    written: int = 0
    lost: int = 0
    waiting: int = 0
    waiting_max: int = 0
    files_expired: int = 0
    write_errors: int = 0


@dataclass(frozen=True, slots=True)
class Views:
    """Where the figures come from that metrics do not count themselves.

    budgets: statuses of the newest refresh. overshoot_usd_nanos: by budget. holds_expired: since this process began.
    unsettled: ends of holds that Redis has not taken yet; dropped: those that were given up.
    """

    backends: Callable[[], Iterable[BackendView]] = tuple
    sites: Callable[[], Iterable[SiteView]] = tuple
    budgets: Callable[[], Iterable[BudgetStatus]] = tuple
    overshoot_usd_nanos: Callable[[], Mapping[str, int]] = dict
    holds_expired: Callable[[], int] = int
    unsettled: Callable[[], int] = int
    unsettled_dropped: Callable[[], int] = int
    recorder: Callable[[], RecorderView] = RecorderView

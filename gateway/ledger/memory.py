"""The ledger in this process's memory: the scripts' exact twin, in Python that reads like the rules.

A fake for tests and dry runs, and the second opinion on the Lua: one contract suite and one state machine run on both.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from gateway.domain.amounts import Amounts, Unit
from gateway.domain.budgets import Ask, Balance, Candidate, Counter, Denial, Hold, Stale
from gateway.domain.faults import LedgerUnavailable
from gateway.ledger.codec import UNITS, amounts_text, in_current_windows, life_ms, spent_units, suffix_of
from gateway.ledger.ids import time_of

RETENTION_MS: Final = 900_000
KEEP_MS: Final = 910_000
AHEAD_MS: Final = 5_000
DENIAL_MS: Final = 60_000
REAPED_MOST: Final = 8

RowKey = tuple[str, str, int]  # root, request id, attempt
Sums = dict[Unit, int]


class _State(StrEnum):
    HELD = "held"
    SETTLED = "settled"
    RELEASED = "released"
    EXPIRED = "expired"
    DENIED = "denied"


@dataclass(slots=True)
class _Row:
    """One attempt. `charged`: the watermark while held, then what was booked. `gone_ms`: forgotten from then on."""

    state: _State
    hold: Hold | None = None
    verdict: Denial | None = None
    charged: Amounts = Amounts()
    due_ms: int = 0
    gone_ms: int | None = None


class MemoryLedger:
    """Implements ports.Ledger. `now_ms`: the time it believes in. Set `away` to a reason, and every step fails."""

    def __init__(self, now_ms: Callable[[], int]):
        self.now_ms = now_ms
        self.away: str | None = None
        self.holds_expired = 0
        self.conflicts = 0
        self.stale = 0
        self._rows: dict[RowKey, _Row] = {}
        self._spent: dict[tuple[str, str], Sums] = defaultdict(lambda: dict.fromkeys(UNITS, 0))
        self._held: dict[tuple[str, str], Sums] = defaultdict(lambda: dict.fromkeys(UNITS, 0))
        self._gone_ms: dict[tuple[str, str], int] = {}
        self._summaries: dict[tuple[str, str, str], tuple[bytes, int]] = {}

    def unsettled(self) -> int:
        """Nothing ever waits here."""
        return 0

    def standing(self, root: str, counter: Counter) -> Balance:
        """Where a counter stands."""
        place = self._place(root, counter)
        return Balance(counter, dict(self._spent[place]), dict(self._held[place]))

    async def reserve(self, ask: Ask) -> Hold | Denial | Stale:
        """As ports.Ledger."""
        now = self._awake()
        key = (ask.root, ask.request_id, ask.attempt)
        row = self._row(key)
        if row is not None:
            return self._repeated(row)
        if why := _foreign(ask.request_id, now):
            self.stale += 1
            return Stale(why)
        ask = in_current_windows(ask, now)
        self._reap(ask.root, now, REAPED_MOST)
        first: Denial | None = None
        for index, candidate in enumerate(ask.candidates):
            amounts_text(candidate.amounts)  # refuses what the scripts refuse
            denial = self._obstacle(ask.root, candidate)
            if denial is None:
                hold = Hold(ask.root, ask.request_id, ask.attempt, index, candidate, ask.key_id)
                self._rows[key] = _Row(_State.HELD, hold, charged=ask.watermark, due_ms=now + ask.lease_ms)
                self._change_held(hold, +1)
                return self._with_balances(hold)
            first = first or denial
        assert first is not None
        self._rows[key] = _Row(_State.DENIED, verdict=first, gone_ms=now + DENIAL_MS)
        return first

    async def settle(
        self, hold: Hold, spent: Amounts, basis: str, *, summary: bytes = b"", alias: str | None = None
    ) -> bool:
        """As ports.Ledger."""
        now = self._awake()
        amounts_text(spent)
        row = self._row(_key(hold))
        if row is None:
            if _foreign(hold.request_id, now):
                self.stale += 1
                return False
            row = self._rows[_key(hold)] = _Row(_State.RELEASED, hold)
        elif row.state is _State.HELD:
            self._change_held(hold, -1)
        elif row.state is _State.EXPIRED:
            self._spend(hold, row.charged, -1, where=spent)
        else:
            same = row.state is _State.SETTLED and row.charged == spent
            self.conflicts += not same
            return same
        self._spend(hold, spent, +1)
        row.state, row.charged, row.gone_ms = _State.SETTLED, spent, now + KEEP_MS
        for name in {hold.request_id, alias or hold.request_id} if summary else ():
            self._summaries[hold.root, hold.key_id, name] = (summary, now + KEEP_MS)
        return True

    async def release(self, hold: Hold, reason: str) -> None:
        """As ports.Ledger."""
        now = self._awake()
        row = self._row(_key(hold))
        if row is None:
            if _foreign(hold.request_id, now):
                self.stale += 1
            else:
                self._rows[_key(hold)] = _Row(_State.RELEASED, gone_ms=now + KEEP_MS)
        elif row.state is _State.HELD:
            self._change_held(hold, -1)
            row.state, row.gone_ms = _State.RELEASED, now + KEEP_MS
        elif row.state is _State.EXPIRED:
            self._spend(hold, row.charged, -1)
            row.state, row.gone_ms = _State.RELEASED, now + KEEP_MS
        elif row.state is _State.SETTLED:
            self.conflicts += 1

    async def find(self, root: str, key_id: str, request_id: str) -> bytes | None:
        """As ports.Ledger."""
        summary, gone_ms = self._summaries.get((root, key_id, request_id), (None, 0))
        return summary if self._awake() < gone_ms else None

    async def sweep(self) -> None:
        """End every due hold."""
        now = self._awake()
        for root in {root for root, _, _ in self._rows}:
            self._reap(root, now, len(self._rows))

    def _awake(self) -> int:
        if self.away is not None:
            raise LedgerUnavailable(self.away)
        return self.now_ms()

    def _row(self, key: RowKey) -> _Row | None:
        row = self._rows.get(key)
        if row is not None and row.gone_ms is not None and row.gone_ms <= self.now_ms():
            del self._rows[key]
            return None
        return row

    def _repeated(self, row: _Row) -> Hold | Denial | Stale:
        if row.verdict is not None:
            return row.verdict
        if row.state is _State.HELD and row.hold is not None:
            return self._with_balances(row.hold)
        self.stale += 1
        return Stale(row.state)

    def _obstacle(self, root: str, candidate: Candidate) -> Denial | None:
        """The first limit that this candidate would pass."""
        for counter in candidate.counters:
            stood = self.standing(root, counter)
            for unit, limit in counter.limits:
                asked, spent, held = _amount(candidate.amounts, unit), stood.spent[unit], stood.held[unit]
                if asked is None or spent + held + asked > limit:
                    return Denial(counter, unit, limit, spent, held, asked)
        return None

    def _reap(self, root: str, now: int, most: int) -> None:
        due = sorted((row.due_ms, key) for key, row in self._rows.items() if _is_due(key, row, root, now))
        for _, key in due[:most]:
            row = self._rows[key]
            assert row.hold is not None
            self._change_held(row.hold, -1)
            self._spend(row.hold, row.charged, +1)
            row.state, row.gone_ms = _State.EXPIRED, now + KEEP_MS
            self.holds_expired += 1

    def _change_held(self, hold: Hold, sign: int) -> None:
        for counter in hold.candidate.counters:
            place = self._place(hold.root, counter)
            for unit, _ in counter.limits:
                self._held[place][unit] += sign * (_amount(hold.candidate.amounts, unit) or 0)
            if counter.limits and counter.ttl_ms is not None:
                self._touch(place, counter)

    def _spend(self, hold: Hold, amounts: Amounts, sign: int, *, where: Amounts | None = None) -> None:
        """`where`: only in the units that are known there."""
        for counter in hold.candidate.counters:
            place = self._place(hold.root, counter)
            self._touch(place, counter)
            for unit in spent_units(counter):
                known = where is None or _amount(where, unit) is not None
                self._spent[place][unit] += sign * (_amount(amounts, unit) or 0) if known else 0

    def _place(self, root: str, counter: Counter) -> tuple[str, str]:
        place = (root, suffix_of(counter))
        if self._gone_ms.get(place, self.now_ms() + 1) <= self.now_ms():
            for memory in (self._spent, self._held, self._gone_ms):
                memory.pop(place, None)
        return place

    def _touch(self, place: tuple[str, str], counter: Counter) -> None:
        ends_ms = life_ms(counter)
        if counter.ttl_ms is not None:
            self._gone_ms[place] = self.now_ms() + counter.ttl_ms
        elif ends_ms is not None:
            self._gone_ms[place] = ends_ms

    def _with_balances(self, hold: Hold) -> Hold:
        reported = tuple(self.standing(hold.root, each) for each in hold.candidate.counters if _reported(each))
        return Hold(hold.root, hold.request_id, hold.attempt, hold.index, hold.candidate, hold.key_id, reported)


def _reported(counter: Counter) -> bool:
    """A limit that is only observed counts nothing that could be told."""
    return counter.report and bool(spent_units(counter) or counter.limits)


def _key(hold: Hold) -> RowKey:
    return hold.root, hold.request_id, hold.attempt


def _is_due(key: RowKey, row: _Row, root: str, now: int) -> bool:
    return key[0] == root and row.state is _State.HELD and row.due_ms <= now


def _amount(amounts: Amounts, unit: Unit) -> int | None:
    """Concurrency is held once and never spent."""
    by_unit: Mapping[Unit, int | None] = {
        Unit.USD_NANOS: amounts.usd_nanos,
        Unit.ENERGY_MJ: amounts.energy_mj,
        Unit.CARBON_UG: amounts.carbon_ug,
        Unit.TOKENS: amounts.tokens,
        Unit.REQUESTS: amounts.requests,
        Unit.CONCURRENT: 1,
    }
    return by_unit[unit]


def _foreign(request_id: str, now: int) -> str | None:
    age_ms = now - time_of(request_id)
    if age_ms > RETENTION_MS:
        return "forgotten"
    return "future" if age_ms < -AHEAD_MS else None

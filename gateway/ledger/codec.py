"""Between the ledger's values and what its scripts take and answer. `scripts/prelude.lua` explains the words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from struct import Struct
from types import MappingProxyType
from typing import Final, cast

from gateway.domain.amounts import Amounts, Unit
from gateway.domain.budgets import Ask, Balance, Counter, Denial, Hold, Stale, WindowSpan
from gateway.domain.value import value
from gateway.ledger.ids import time_of
from gateway.policy.windows import renewed

UNITS: Final = tuple(Unit)  # their order is the scripts' order
SPENDABLE: Final = tuple(unit for unit in Unit if unit is not Unit.CONCURRENT)
USD, ENERGY, CARBON, TOKENS, REQUESTS, CONCURRENT = UNITS
PLACES: Final = {unit: str(place) for place, unit in enumerate(UNITS, 1)}  # as the scripts count them
SPENT_ALL: Final = "".join([PLACES[unit] for unit in SPENDABLE])
NOUGHT: Final[Mapping[Unit, int]] = MappingProxyType(dict.fromkeys(UNITS, 0))
SPENT_ONLY: Final = Struct(">5q")  # a counter as Redis keeps it; see scripts/prelude.lua
SPENT_ONLY_BYTES: Final = SPENT_ONLY.size
SPENT_AND_HELD: Final = Struct(">11q")
# A counter stays readable after its window's end for 35 times the window, within these bounds: days and months for
# 35 days; a counter per key and minute, kept as long, would fill the memory.
GRACE_WINDOWS: Final = 35
GRACE_MIN_MS: Final = 3_600_000
GRACE_MAX_MS: Final = 35 * 86_400_000
AMOUNT_BITS: Final = 53  # Lua compares in doubles, exact up to here
AMOUNT_MAX: Final = 2**AMOUNT_BITS - 1
REMEMBERED: Final = 20_000
FOR_EVER: Final = 2**63

Argument = str | bytes | int


@value
class Line:
    """One counter as reserve takes it. check, rule: empty where nothing is limited or reported."""

    plan: str
    check: str = ""
    rule: str = ""


@value
class Book:
    """Counters written for a script. checked: those with a check, in its order; start, end: all are current between."""

    counters: tuple[Counter, ...]
    plan: str
    checks: str
    rules: str
    checked: tuple[Counter, ...]
    start_ms: int
    end_ms: int


def prefix_of(root: str) -> str:
    """What every key of a root begins with; the braces make it one slot of a cluster."""
    return f"jg:{{{root}}}:"


def member_of(request_id: str, attempt: int) -> str:
    """How a row and its lease are called within a root."""
    return f"{request_id}:{attempt}"


def amounts_text(amounts: Amounts) -> str:
    """'usd energy carbon tokens requests', an unknown one empty. Raises ValueError below zero or above 2^53 - 1."""
    usd, energy, carbon = amounts.usd_nanos, amounts.energy_mj, amounts.carbon_ug
    tokens, requests = amounts.tokens, amounts.requests
    if energy is not None and carbon is not None and not (usd | energy | carbon | tokens | requests) >> AMOUNT_BITS:
        return f"{usd} {energy} {carbon} {tokens} {requests}"
    if not (
        0 <= usd <= AMOUNT_MAX
        and (energy is None or 0 <= energy <= AMOUNT_MAX)
        and (carbon is None or 0 <= carbon <= AMOUNT_MAX)
        and 0 <= tokens <= AMOUNT_MAX
        and 0 <= requests <= AMOUNT_MAX
    ):
        raise ValueError(f"an amount is below zero or above 2^53 - 1: {amounts}")
    return f"{usd} {'' if energy is None else energy} {'' if carbon is None else carbon} {tokens} {requests}"


def suffix_of(counter: Counter) -> str:
    """A counter's place within its root: its key and its window."""
    return f"{counter.key}:{counter.window.id}"


def line_of(counter: Counter) -> Line:
    """A counter as reserve takes it; `scripts/prelude.lua` and `scripts/reserve_hold.lua` explain the words."""
    suffix, life = suffix_of(counter), _life(counter)
    spent = SPENT_ALL if counter.kind != "rate" else _digits(spent_units(counter))
    held = _digits([unit for unit, _ in counter.limits]) if counter.limits else ""
    plan = f"{suffix} {spent} {held} {life}\n" if spent or held else ""
    if not (plan and (counter.limits or counter.report)):
        return Line(plan)
    limits = "".join([f"{limit}," for _, limit in counter.limits])
    return Line(plan, f"{suffix}  {held} {life}\n", f"{limits} {'1' if counter.report else ''}\n")


def book_of(counters: tuple[Counter, ...]) -> Book:
    """Counters as reserve takes them."""
    lines = [line_of(counter) for counter in counters]
    ends = [counter.window.end_ms for counter in counters if counter.window.end_ms is not None]
    return Book(
        counters,
        "".join([line.plan for line in lines]),
        "".join([line.check for line in lines]),
        "".join([line.rule for line in lines]),
        tuple(counter for counter, line in zip(counters, lines, strict=True) if line.check),
        max([counter.window.start_ms for counter in counters], default=0),
        min(ends, default=FOR_EVER),
    )


def _digits(units: Iterable[Unit]) -> str:
    return "".join([PLACES[unit] for unit in units])


def spent_units(counter: Counter) -> tuple[Unit, ...]:
    """What is added up on a counter: all of a request, but on a rate limit only what is limited. Concurrency never."""
    if counter.kind != "rate":
        return SPENDABLE
    limited = {unit for unit, _ in counter.limits}
    return tuple(unit for unit in SPENDABLE if unit in limited)


def _life(counter: Counter) -> str:
    if counter.ttl_ms is not None:
        return f"+{counter.ttl_ms}"
    gone_ms = life_ms(counter)
    return "" if gone_ms is None else f"@{gone_ms}"


def life_ms(counter: Counter) -> int | None:
    """When a counter is forgotten, some time after its window's end; None: never."""
    window = counter.window
    if window.end_ms is None:
        return None
    grace_ms = GRACE_WINDOWS * (window.end_ms - window.start_ms)
    return window.end_ms + min(max(grace_ms, GRACE_MIN_MS), GRACE_MAX_MS)


class Library:
    """Books already written. Claims hands out the same counters until a window ends, a session's in addition."""

    def __init__(self) -> None:
        self._known: dict[int, Book] = {}  # by id() of the first counter; equal to all of them, or it is not used

    def of(self, counters: tuple[Counter, ...]) -> Book:
        """As `book_of`."""
        if not counters or counters[-1].ttl_ms is None:
            return self._steady(counters)
        steady, session = self._steady(counters[:-1]), counters[-1]
        line = line_of(session)
        return Book(
            counters,
            steady.plan + line.plan,
            steady.checks + line.check,
            steady.rules + line.rule,
            (*steady.checked, session) if line.check else steady.checked,
            steady.start_ms,
            steady.end_ms,
        )

    def _steady(self, counters: tuple[Counter, ...]) -> Book:
        if not counters:
            return book_of(counters)
        known = self._known.get(id(counters[0]))
        if known is None or known.counters != counters:  # as fast as a look, for the same objects
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            known = self._known[id(counters[0])] = book_of(counters)
        return known


def in_current_windows(ask: Ask, now_ms: int) -> Ask:
    """The same ask, each counter in the window that holds `now_ms`."""
    if all(_holds(counter.window, now_ms) for candidate in ask.candidates for counter in candidate.counters):
        return ask
    fresh: dict[str, Counter] = {}

    def current(counter: Counter) -> Counter:
        name = suffix_of(counter)
        if name not in fresh:
            fresh[name] = replace(counter, window=renewed(counter.window, now_ms))
        return fresh[name]

    moved = {
        id(candidate.counters): tuple(current(counter) for counter in candidate.counters)
        for candidate in ask.candidates
    }
    candidates = tuple(replace(candidate, counters=moved[id(candidate.counters)]) for candidate in ask.candidates)
    return replace(ask, candidates=candidates)


def _holds(window: WindowSpan, now_ms: int) -> bool:
    return window.start_ms <= now_ms and (window.end_ms is None or now_ms < window.end_ms)


def reserve_arguments(prefix: str, member: str, ask: Ask, books: Sequence[Book]) -> list[Argument]:
    """ARGV of reserve_hold.lua. books: of each candidate. Raises ValueError for an id without time."""
    time_of(ask.request_id)
    first = books[0]
    if books[-1] is first and (len(books) < 3 or books[1] is first):  # nearly every ask
        different, start_ms, end_ms = [first], first.start_ms, first.end_ms
    else:
        different = list({id(book): book for book in books}.values())
        start_ms, end_ms = max([book.start_ms for book in different]), min([book.end_ms for book in different])
    args: list[Argument] = [
        prefix,
        member,
        ask.lease_ms,
        amounts_text(ask.watermark),
        start_ms,
        "" if end_ms == FOR_EVER else end_ms,
        len(different),
    ]
    for book in different:
        args += (book.plan, book.checks, book.rules)
    for candidate, book in zip(ask.candidates, books, strict=True):
        args += (amounts_text(candidate.amounts), 1 if book is first else 1 + _place(book, different))
    return args


def verdict_of(reply: object, ask: Ask, books: Sequence[Book]) -> tuple[Hold | Denial | Stale | None, int]:
    """What reserve_hold.lua answered, and how many due holds it ended. None: a window is not the current one."""
    answer = cast(list[bytes | int], reply)
    word = answer[0]
    if word == b"OK":
        index = cast(int, answer[1]) - 1
        checked = books[index].checked
        balances = tuple(
            [
                Balance(checked[cast(int, answer[at]) - 1], *standing_of(cast(bytes, answer[at + 1])))
                for at in range(3, len(answer), 2)
            ]
        )
        hold = Hold(ask.root, ask.request_id, ask.attempt, index, ask.candidates[index], ask.key_id, balances)
        return hold, cast(int, answer[2])
    if word == b"NO":
        return _denial(answer[1:], books[0]), int(cast(int, answer[7])) if len(answer) > 7 else 0
    if word == b"STALE":
        return Stale(cast(bytes, answer[1]).decode()), 0
    return None, 0


def standing_of(value: bytes | None) -> tuple[Mapping[Unit, int], Mapping[Unit, int]]:
    """What a counter's value says is spent and held, by unit; None: there is none yet."""
    if not value:
        return NOUGHT, NOUGHT
    if len(value) == SPENT_ONLY_BYTES:
        a, b, c, d, e = SPENT_ONLY.unpack(value)
        return {USD: a, ENERGY: b, CARBON: c, TOKENS: d, REQUESTS: e, CONCURRENT: 0}, NOUGHT
    a, b, c, d, e, f, g, h, i, j, k = SPENT_AND_HELD.unpack(value)
    return (
        {USD: a, ENERGY: b, CARBON: c, TOKENS: d, REQUESTS: e, CONCURRENT: 0},
        {USD: f, ENERGY: g, CARBON: h, TOKENS: i, REQUESTS: j, CONCURRENT: k},
    )


def _denial(rest: Sequence[bytes | int], book: Book) -> Denial:
    line, unit, limit, spent, held, asked = rest[:6]
    return Denial(
        counter=book.checked[int(line) - 1],
        unit=UNITS[int(unit) - 1],
        limit=int(limit),
        spent=int(spent),
        held=int(held),
        asked=None if asked == b"" else int(asked),
    )


def _place(book: Book, books: Sequence[Book]) -> int:
    return next(number for number, known in enumerate(books) if known is book)

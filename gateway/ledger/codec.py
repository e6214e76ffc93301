"""Between the ledger's values and what its scripts take and answer. `scripts/prelude.lua` explains the words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, cast

from gateway.domain.amounts import Amounts, Unit
from gateway.domain.budgets import Ask, Balance, Candidate, Counter, Denial, Hold, Stale, WindowSpan
from gateway.ledger.ids import time_of
from gateway.policy.windows import renewed

UNITS: Final = tuple(Unit)  # their order is the scripts' order
SPENDABLE: Final = tuple(unit for unit in Unit if unit is not Unit.CONCURRENT)
PLACES: Final = {unit: str(place) for place, unit in enumerate(UNITS, 1)}  # as the scripts count them
# A counter stays readable after its window's end for 35 times the window, within these bounds: days and months for
# 35 days; a counter per key and minute, kept as long, would fill the memory.
GRACE_WINDOWS: Final = 35
GRACE_MIN_MS: Final = 3_600_000
GRACE_MAX_MS: Final = 35 * 86_400_000
AMOUNT_MAX: Final = 2**53 - 1  # Lua compares in doubles, exact up to here
CODES_MAX: Final = 50_000
WINDOW: Final = "WINDOW"

Argument = str | bytes | int
Code = tuple[str, str, str, str, str]  # plan line, start, end, limits, report


def prefix_of(root: str) -> str:
    """What every key of a root begins with; the braces make it one slot of a cluster."""
    return f"jg:{{{root}}}:"


def member_of(request_id: str, attempt: int) -> str:
    """How a row and its lease are called within a root."""
    return f"{request_id}:{attempt}"


def amounts_text(amounts: Amounts) -> str:
    """'usd energy carbon tokens requests', an unknown one empty. Raises ValueError below zero or above 2^53 - 1."""
    usd, energy, carbon, tokens, requests = (
        amounts.usd_nanos,
        amounts.energy_mj,
        amounts.carbon_ug,
        amounts.tokens,
        amounts.requests,
    )
    known = (usd, energy or 0, carbon or 0, tokens, requests)
    if min(known) < 0 or max(known) > AMOUNT_MAX:
        raise ValueError(f"an amount is below zero or above 2^53 - 1: {amounts}")
    return f"{usd} {'' if energy is None else energy} {'' if carbon is None else carbon} {tokens} {requests}"


def suffix_of(counter: Counter) -> str:
    """A counter's place within its root: its key and its window."""
    return f"{counter.key}:{counter.window.id}"


def code_of(counter: Counter) -> Code:
    """A counter as reserve takes it."""
    end_ms = counter.window.end_ms
    held = "".join([PLACES[unit] for unit, _ in counter.limits]) or "-"
    spent = "".join([PLACES[unit] for unit in spent_units(counter)]) or "-"
    return (
        f"{suffix_of(counter)} {_life(counter)} {held} {spent}\n",
        str(counter.window.start_ms),
        "" if end_ms is None else str(end_ms),
        " ".join([f"{PLACES[unit]}:{limit}" for unit, limit in counter.limits]),
        "1" if counter.report else "",
    )


def spent_units(counter: Counter) -> tuple[Unit, ...]:
    """What is added up on a counter: all of a request, but on a rate limit only what is limited. Concurrency never."""
    limited = {unit for unit, _ in counter.limits}
    return tuple(unit for unit in UNITS if unit is not Unit.CONCURRENT and (counter.kind != "rate" or unit in limited))


def _life(counter: Counter) -> str:
    if counter.ttl_ms is not None:
        return f"+{counter.ttl_ms}"
    gone_ms = life_ms(counter)
    return "-" if gone_ms is None else f"@{gone_ms}"


def life_ms(counter: Counter) -> int | None:
    """When a counter is forgotten, some time after its window's end; None: never."""
    window = counter.window
    if window.end_ms is None:
        return None
    grace_ms = GRACE_WINDOWS * (window.end_ms - window.start_ms)
    return window.end_ms + min(max(grace_ms, GRACE_MIN_MS), GRACE_MAX_MS)


class Codes:
    """Counters already written for a script. Claims hands out the same counter objects until their window ends."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Counter, Code]] = {}  # by id(); holding the counter keeps its id its own

    def of(self, counter: Counter) -> Code:
        """As `code_of`."""
        known = self._known.get(id(counter))
        if known is not None:
            return known[1]
        code = code_of(counter)
        if counter.ttl_ms is None:  # a session's counter is made anew for each request
            if len(self._known) >= CODES_MAX:
                self._known.clear()
            self._known[id(counter)] = (counter, code)
        return code

    def plan(self, counters: Sequence[Counter]) -> str:
        """The plan of these counters."""
        return "".join([self.of(counter)[0] for counter in counters])


def union_of(candidates: Sequence[Candidate]) -> tuple[Counter, ...]:
    """Every counter of any candidate, once. Mostly all candidates share one tuple."""
    first = candidates[0].counters
    if all(candidate.counters is first for candidate in candidates):
        return first
    return tuple({suffix_of(counter): counter for each in candidates for counter in each.counters}.values())


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


def reserve_arguments(ask: Ask, counters: Sequence[Counter], codes: Codes) -> list[Argument]:
    """ARGV of reserve.lua. Raises ValueError for an id without time."""
    args: list[Argument] = [
        prefix_of(ask.root),
        member_of(ask.request_id, ask.attempt),
        time_of(ask.request_id),
        ask.lease_ms,
        amounts_text(ask.watermark),
        len(counters),
    ]
    for counter in counters:
        args += codes.of(counter)
    for candidate in ask.candidates:
        args.append(amounts_text(candidate.amounts))
        args.append("" if candidate.counters is counters else _positions(candidate, counters))
    return args


def verdict_of(reply: object, ask: Ask, counters: Sequence[Counter]) -> tuple[Hold | Denial | Stale | None, int]:
    """What reserve.lua answered, and how many due holds it ended. None: a window is not the current one."""
    word, *rest = cast(list[bytes | int | list[bytes | None]], reply)
    if word == b"OK":
        index, reaped, *reported = rest
        return _hold(ask, counters, cast(int, index) - 1, reported), cast(int, reaped)
    if word == b"NO":
        return _denial(rest, counters), int(cast(int, rest[6])) if len(rest) > 6 else 0
    if word == b"STALE":
        return Stale(cast(bytes, rest[0]).decode()), 0
    return None, 0


def _hold(ask: Ask, counters: Sequence[Counter], index: int, reported: list[bytes | int | list[bytes | None]]) -> Hold:
    balances = tuple(
        _balance(counters[cast(int, position) - 1], cast(list[bytes | None], figures))
        for position, figures in zip(reported[::2], reported[1::2], strict=True)
    )
    return Hold(ask.root, ask.request_id, ask.attempt, index, ask.candidates[index], ask.key_id, balances)


def _balance(counter: Counter, figures: list[bytes | None]) -> Balance:
    known = [int(figure or 0) for figure in figures]
    return Balance(counter, dict(zip(UNITS, known[::2], strict=True)), dict(zip(UNITS, known[1::2], strict=True)))


def _denial(rest: list[bytes | int | list[bytes | None]], counters: Sequence[Counter]) -> Denial:
    position, unit, limit, spent, held, asked = cast(list[bytes | int], rest[:6])
    return Denial(
        counter=counters[int(position) - 1],
        unit=UNITS[int(unit) - 1],
        limit=int(limit),
        spent=int(spent),
        held=int(held),
        asked=int(asked) if asked != b"" else None,
    )


def _positions(candidate: Candidate, counters: Sequence[Counter]) -> str:
    place = {suffix_of(counter): number for number, counter in enumerate(counters, 1)}
    return " ".join(str(place[suffix_of(counter)]) for counter in candidate.counters)

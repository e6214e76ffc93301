"""Calendar windows in IANA zones. Here lives where a window begins and ends; never what is counted in it.

A window's id is part of its counter's key, so nothing is ever reset: the next window is another counter.

minute, hour    of the zone's wall clock; a clock change cuts the one it falls into, and the id names the UTC offset
day             from the first instant whose local date is that date: 23, 24, 24.5 or 25 hours
week            ISO, from Monday        month, year     from their first day
total           never ends

Windows of one kind and zone tile time: each instant is in exactly one.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from gateway.domain.budgets import WindowKind, WindowSpan

CLOCK_MS = {WindowKind.MINUTE: 60_000, WindowKind.HOUR: 3_600_000}
TOTAL = WindowSpan("total", 0, None)
DAY = timedelta(days=1)


def span(kind: WindowKind, zone: str, now_ms: int) -> WindowSpan:
    """The window of that kind that holds `now_ms` (UTC milliseconds). Raises ValueError for an unknown zone."""
    if kind is WindowKind.TOTAL:
        return TOTAL
    where = zone_of(zone)
    if kind in CLOCK_MS:
        return _clock_span(kind, zone, where, now_ms)
    return _calendar_span(kind, zone, where, now_ms)


def renewed(old: WindowSpan, now_ms: int) -> WindowSpan:
    """The window of the same kind and zone that holds `now_ms`."""
    if old.end_ms is None:
        return old
    kind, zone, _ = old.id.split(":", 2)
    return span(WindowKind(kind), zone, now_ms)


def zone_of(name: str) -> ZoneInfo:
    """The IANA zone. Raises ValueError with the remedy."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"'{name}' is not a time zone; use an IANA name such as Australia/Sydney or UTC") from None


class Windows:
    """Remembers the current window of each kind and zone, so that a request pays for a look-up, not for a calendar."""

    def __init__(self) -> None:
        self._current: dict[tuple[WindowKind, str], WindowSpan] = {}

    def span(self, kind: WindowKind, zone: str, now_ms: int) -> WindowSpan:
        """As the function `span`."""
        known = self._current.get((kind, zone))
        if known is not None and known.start_ms <= now_ms and (known.end_ms is None or now_ms < known.end_ms):
            return known
        fresh = self._current[kind, zone] = span(kind, zone, now_ms)
        return fresh


def _calendar_span(kind: WindowKind, zone: str, where: ZoneInfo, now_ms: int) -> WindowSpan:
    first = _first_day(kind, _local(now_ms, where).date())
    following = _next(kind, first)
    start_ms, end_ms = first_instant_ms(first, where), first_instant_ms(following, where)
    if end_ms <= now_ms:  # clocks went back over midnight: this date was already left once
        first, following = following, _next(kind, following)
        start_ms, end_ms = end_ms, first_instant_ms(following, where)
    return WindowSpan(f"{kind.value}:{zone}:{_label(kind, first)}", start_ms, end_ms)


def first_instant_ms(day: date, where: ZoneInfo) -> int:
    """The first instant whose local date is `day`, or later where the zone skipped that day."""
    start = datetime(day.year, day.month, day.day, tzinfo=where).astimezone(UTC)
    # In a gap this is the wall clock before the change: exactly the change, if the gap begins at midnight.
    if (start - timedelta(seconds=1)).astimezone(where).date() < day:
        return _ms(start)
    before = start - DAY  # the gap began before midnight: find the change itself
    return _bisect(_ms(before), _ms(start), lambda at_ms: _local(at_ms, where).date() >= day)


def _first_day(kind: WindowKind, day: date) -> date:
    if kind is WindowKind.WEEK:
        return day - timedelta(days=day.weekday())
    if kind is WindowKind.MONTH:
        return day.replace(day=1)
    if kind is WindowKind.YEAR:
        return day.replace(month=1, day=1)
    return day


def _next(kind: WindowKind, first: date) -> date:
    if kind is WindowKind.WEEK:
        return first + 7 * DAY
    if kind is WindowKind.MONTH:
        return (first + 31 * DAY).replace(day=1)
    if kind is WindowKind.YEAR:
        return first.replace(year=first.year + 1)
    return first + DAY


def _label(kind: WindowKind, first: date) -> str:
    if kind is WindowKind.WEEK:
        year, week, _ = first.isocalendar()
        return f"{year}-W{week:02d}"
    if kind is WindowKind.MONTH:
        return f"{first:%Y-%m}"
    if kind is WindowKind.YEAR:
        return f"{first:%Y}"
    return first.isoformat()


def _clock_span(kind: WindowKind, zone: str, where: ZoneInfo, now_ms: int) -> WindowSpan:
    length_ms, local = CLOCK_MS[kind], _local(now_ms, where)
    offset = local.utcoffset()
    wall_ms = now_ms + _offset_ms(now_ms, where)
    start_ms = now_ms - wall_ms % length_ms
    end_ms = start_ms + length_ms

    def same(at_ms: int) -> bool:
        return _local(at_ms, where).utcoffset() == offset

    if not same(start_ms):
        start_ms = _bisect(start_ms, now_ms, same)
    if not same(end_ms - 1):
        end_ms = _bisect(now_ms, end_ms, lambda at_ms: not same(at_ms))
    form = "%Y-%m-%dT%H%z" if kind is WindowKind.HOUR else "%Y-%m-%dT%H:%M%z"
    return WindowSpan(f"{kind.value}:{zone}:{local.strftime(form)}", start_ms, end_ms)


def _bisect(low_ms: int, high_ms: int, holds: Callable[[int], bool]) -> int:
    """The first millisecond where `holds`, which is false at low_ms, true at high_ms, and changes once between."""
    while high_ms - low_ms > 1:
        middle_ms = (low_ms + high_ms) // 2
        if holds(middle_ms):
            high_ms = middle_ms
        else:
            low_ms = middle_ms
    return high_ms


def _local(at_ms: int, where: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(at_ms // 1_000, UTC).astimezone(where)


def _offset_ms(at_ms: int, where: ZoneInfo) -> int:
    offset = _local(at_ms, where).utcoffset()
    return 0 if offset is None else offset // timedelta(milliseconds=1)


def _ms(at: datetime) -> int:
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.budgets import WindowKind, WindowSpan
from gateway.policy.windows import Windows, renewed, span

HOUR_MS = 3_600_000
ZONES = [
    "UTC",
    "America/New_York",
    "America/Santiago",  # midnight does not exist when its clocks go forward
    "America/Havana",  # midnight comes twice
    "America/Goose_Bay",  # went back at 00:01, into the day before
    "America/Asuncion",
    "Australia/Lord_Howe",  # half an hour
    "Australia/Sydney",
    "Asia/Kathmandu",
    "Asia/Beirut",
    "Africa/Casablanca",
    "Pacific/Apia",  # skipped 30 December 2011
    "Antarctica/Troll",  # two hours
]
TIMES_MS = st.integers(946_684_800_000, 4_102_444_800_000)  # 2000 to 2100


def at(zone: str, *local: int) -> int:
    return int(datetime(*local, tzinfo=ZoneInfo(zone)).timestamp() * 1_000)  # type: ignore[arg-type,misc]


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("America/New_York", (2026, 3, 8), 23),
        ("America/New_York", (2026, 11, 1), 25),
        ("America/New_York", (2026, 7, 4), 24),
        ("Australia/Lord_Howe", (2026, 4, 5), 24.5),
        ("America/Santiago", (2026, 9, 6), 23),
        ("America/Goose_Bay", (2010, 11, 7), 25),
        ("Antarctica/Troll", (2026, 3, 29), 22),
    ],
)
def test_days_are_as_long_as_the_wall_clock_says(zone: str, day: tuple[int, int, int], hours: float) -> None:
    found = span(WindowKind.DAY, zone, at(zone, *day, 12))

    assert found.end_ms is not None
    assert (found.end_ms - found.start_ms) / HOUR_MS == hours
    assert found.id == f"day:{zone}:{day[0]}-{day[1]:02d}-{day[2]:02d}"


def test_a_day_without_a_midnight_begins_at_one_o_clock() -> None:
    found = span(WindowKind.DAY, "America/Santiago", at("America/Santiago", 2026, 9, 6, 12))

    assert datetime.fromtimestamp(found.start_ms / 1_000, ZoneInfo("America/Santiago")).isoformat() == (
        "2026-09-06T01:00:00-03:00"
    )


def test_a_day_that_a_zone_skipped_has_no_window() -> None:
    before = span(WindowKind.DAY, "Pacific/Apia", at("Pacific/Apia", 2011, 12, 29, 12))
    after = span(WindowKind.DAY, "Pacific/Apia", at("Pacific/Apia", 2011, 12, 31, 12))

    assert before.end_ms == after.start_ms


@pytest.mark.parametrize(
    ("kind", "zone", "local", "window_id", "start", "end"),
    [
        (WindowKind.WEEK, "UTC", (2027, 1, 1), "week:UTC:2026-W53", (2026, 12, 28), (2027, 1, 4)),
        (WindowKind.MONTH, "Asia/Tokyo", (2026, 2, 14), "month:Asia/Tokyo:2026-02", (2026, 2, 1), (2026, 3, 1)),
        (WindowKind.MONTH, "UTC", (2026, 12, 31), "month:UTC:2026-12", (2026, 12, 1), (2027, 1, 1)),
        (WindowKind.YEAR, "UTC", (2028, 2, 29), "year:UTC:2028", (2028, 1, 1), (2029, 1, 1)),
        (WindowKind.HOUR, "UTC", (2026, 5, 1, 7, 59), "hour:UTC:2026-05-01T07+0000", (2026, 5, 1, 7), (2026, 5, 1, 8)),
        (
            WindowKind.MINUTE,
            "Asia/Kathmandu",
            (2026, 5, 1, 7, 59, 30),
            "minute:Asia/Kathmandu:2026-05-01T07:59+0545",
            (2026, 5, 1, 7, 59),
            (2026, 5, 1, 8, 0),
        ),
    ],
)  # fmt: skip
def test_windows_begin_and_end_where_a_calendar_says(
    kind: WindowKind,
    zone: str,
    local: tuple[int, ...],
    window_id: str,
    start: tuple[int, ...],
    end: tuple[int, ...],
) -> None:
    assert span(kind, zone, at(zone, *local)) == WindowSpan(window_id, at(zone, *start), at(zone, *end))


def test_an_hour_that_the_clock_repeats_is_two_windows() -> None:
    first = span(WindowKind.HOUR, "America/New_York", at("America/New_York", 2026, 11, 1, 1, 30))
    second = span(WindowKind.HOUR, "America/New_York", at("America/New_York", 2026, 11, 1, 1, 30) + HOUR_MS)

    assert (first.id, second.id) == (
        "hour:America/New_York:2026-11-01T01-0400",
        "hour:America/New_York:2026-11-01T01-0500",
    )
    assert first.end_ms == second.start_ms


def test_a_total_window_never_ends() -> None:
    assert span(WindowKind.TOTAL, "UTC", 5) == WindowSpan("total", 0, None)


@settings(deadline=None)
@given(st.sampled_from(list(WindowKind)), st.sampled_from(ZONES), TIMES_MS)
def test_windows_tile_time_without_gap_or_overlap(kind: WindowKind, zone: str, now_ms: int) -> None:
    here = span(kind, zone, now_ms)
    assert here.start_ms <= now_ms
    if here.end_ms is None:
        return
    assert now_ms < here.end_ms

    assert span(kind, zone, here.start_ms) == here
    assert span(kind, zone, here.end_ms - 1) == here
    following, before = span(kind, zone, here.end_ms), span(kind, zone, here.start_ms - 1)
    assert following.start_ms == here.end_ms
    assert before.end_ms == here.start_ms
    assert len({before.id, here.id, following.id}) == 3


@settings(deadline=None)
@given(st.sampled_from(list(WindowKind)), st.sampled_from(ZONES), st.lists(TIMES_MS, min_size=2, max_size=5))
def test_remembering_changes_no_answer(kind: WindowKind, zone: str, times_ms: list[int]) -> None:
    windows = Windows()

    for now_ms in [*times_ms, *reversed(times_ms)]:
        assert windows.span(kind, zone, now_ms) == span(kind, zone, now_ms)


@settings(deadline=None)
@given(st.sampled_from(list(WindowKind)), st.sampled_from(ZONES), TIMES_MS, TIMES_MS)
def test_a_window_can_be_renewed_from_its_id(kind: WindowKind, zone: str, then_ms: int, now_ms: int) -> None:
    assert renewed(span(kind, zone, then_ms), now_ms) == span(kind, zone, now_ms)


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../etc/passwd", "Australia"])
def test_an_unknown_zone_is_refused_with_the_remedy(zone: str) -> None:
    with pytest.raises(ValueError, match="IANA name"):
        span(WindowKind.DAY, zone, 0)

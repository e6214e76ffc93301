"""Oldest closed segments go first; an open one never goes."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.telemetry.retention import Retention, segments

NOW = 1_795_469_400_000  # 2026-11-23 21:30 UTC


def put(root: Path, *names: str, size: int = 100) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x" * size)


def left(root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in segments(root)]


def test_segments_beyond_the_days_are_removed_with_their_empty_days(tmp_path: Path) -> None:
    put(tmp_path, "2026-11-20/21-a-0.jsonl", "2026-11-21/20-a-0.jsonl", "2026-11-21/21-a-0.jsonl")

    removed = Retention(keep_days=2).expire(tmp_path, gateway="a", now_ms=NOW, open_path=None)

    assert removed == 2
    assert left(tmp_path) == ["2026-11-21/21-a-0.jsonl"]
    assert not (tmp_path / "2026-11-20").exists()


def test_the_oldest_go_until_the_rest_fits(tmp_path: Path) -> None:
    put(
        tmp_path,
        "2026-11-23/09-a-0.jsonl",
        "2026-11-23/10-a-2.jsonl",
        "2026-11-23/10-a-10.jsonl",
        "2026-11-23/11-a-0.jsonl",
    )

    removed = Retention(keep_bytes=250).expire(tmp_path, gateway="a", now_ms=NOW, open_path=None)

    assert removed == 2
    assert left(tmp_path) == ["2026-11-23/10-a-10.jsonl", "2026-11-23/11-a-0.jsonl"]


def test_numbers_are_ordered_as_numbers(tmp_path: Path) -> None:
    put(tmp_path, "2026-11-23/10-a-10.jsonl", "2026-11-23/10-a-9.jsonl")

    assert left(tmp_path) == ["2026-11-23/10-a-9.jsonl", "2026-11-23/10-a-10.jsonl"]


def test_the_open_segment_stays_whatever_its_age(tmp_path: Path) -> None:
    put(tmp_path, "2026-01-01/00-a-0.jsonl")

    removed = Retention(0, 0).expire(tmp_path, gateway="a", now_ms=NOW, open_path=tmp_path / "2026-01-01/00-a-0.jsonl")

    assert removed == 0


@pytest.mark.parametrize(("name", "goes"), [("2026-11-23/21-b-0.jsonl", False), ("2026-11-23/20-b-0.jsonl", True)])
def test_another_gateways_segment_of_the_present_hour_may_be_open(tmp_path: Path, name: str, goes: bool) -> None:
    put(tmp_path, name)

    Retention(keep_bytes=0).expire(tmp_path, gateway="a", now_ms=NOW, open_path=None)

    assert left(tmp_path) == ([] if goes else [name])


def test_a_directory_that_is_not_there_yet_is_empty(tmp_path: Path) -> None:
    assert Retention().expire(tmp_path / "records", gateway="a", now_ms=NOW, open_path=None) == 0

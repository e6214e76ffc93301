"""Files of an hour and a size, whole lines only, whatever the disk does."""

from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.telemetry.segments import Segments
from tests.telemetry.disks import SmallDisk

NINE_PM = 1_795_469_400_000  # 2026-11-23 21:30 UTC
HOUR_MS = 3_600_000


class Wall:
    """A clock that stands until it is moved."""

    def __init__(self, now_ms: int = NINE_PM) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        return self.now_ms


def names(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.glob("*/*"))


def text(root: Path) -> bytes:
    return b"".join((root / name).read_bytes() for name in names(root))


def test_a_segment_is_named_by_hour_gateway_and_number(tmp_path: Path) -> None:
    segments = Segments(tmp_path, "gw-a", now_ms=Wall(), segment_bytes=1_000)

    segments.write([b"one\n", b"two\n"])
    segments.close()

    assert names(tmp_path) == ["2026-11-23/21-gw-a-0.jsonl"]
    assert text(tmp_path) == b"one\ntwo\n"


def test_a_new_hour_begins_a_new_segment(tmp_path: Path) -> None:
    wall = Wall()
    segments = Segments(tmp_path, "a", now_ms=wall, segment_bytes=1_000)

    segments.write([b"one\n"])
    wall.now_ms += 3 * HOUR_MS
    segments.write([b"two\n"])
    segments.close()

    assert names(tmp_path) == ["2026-11-23/21-a-0.jsonl", "2026-11-24/00-a-0.jsonl"]


def test_a_full_segment_is_followed_by_the_next_number(tmp_path: Path) -> None:
    segments = Segments(tmp_path, "a", now_ms=Wall(), segment_bytes=8)

    for line in (b"one\n", b"two\n", b"six\n"):
        segments.write([line])
    segments.close()

    assert names(tmp_path) == ["2026-11-23/21-a-0.jsonl", "2026-11-23/21-a-1.jsonl"]
    assert (tmp_path / names(tmp_path)[1]).read_bytes() == b"six\n"


def test_a_restart_never_appends_to_what_was_there(tmp_path: Path) -> None:
    for _ in range(2):
        segments = Segments(tmp_path, "a", now_ms=Wall(), segment_bytes=1_000)
        segments.write([b"one\n"])
        segments.close()

    assert names(tmp_path) == ["2026-11-23/21-a-0.jsonl", "2026-11-23/21-a-1.jsonl"]


def test_records_are_not_for_everybody_to_read(tmp_path: Path) -> None:
    segments = Segments(tmp_path, "a", now_ms=Wall(), segment_bytes=1_000)
    segments.write([b"one\n"])
    segments.close()

    assert (tmp_path / names(tmp_path)[0]).stat().st_mode & 0o007 == 0


def test_a_full_disk_keeps_whole_lines_and_says_how_many(tmp_path: Path) -> None:
    disk = SmallDisk(room=10)
    segments = Segments(tmp_path, "a", now_ms=Wall(), segment_bytes=1_000, open_file=disk.open)

    written = segments.write([b"one\n", b"two\n", b"three\n"])

    assert written.lines == 2
    assert written.error is not None
    assert text(tmp_path) == b"one\ntwo\n"


def test_what_can_not_be_cut_off_stays_as_one_torn_line_at_the_end_of_its_file(tmp_path: Path) -> None:
    disk = SmallDisk(room=10, cuts_back=False)
    segments = Segments(tmp_path, "a", now_ms=Wall(), segment_bytes=1_000, open_file=disk.open)

    segments.write([b"one\n", b"two\n", b"three\n"])
    disk.room = 100
    segments.write([b"three\n"])
    segments.close()

    assert [(tmp_path / name).read_bytes() for name in names(tmp_path)] == [b"one\ntwo\nth", b"three\n"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(lines=st.lists(st.integers(0, 12), max_size=25), rooms=st.lists(st.integers(0, 60), max_size=8))
def test_retrying_what_was_not_taken_writes_every_line_once_and_in_order(
    tmp_path: Path, lines: list[int], rooms: list[int]
) -> None:
    root = tmp_path / f"run-{len(list(tmp_path.iterdir()))}"
    waiting = [f"{n}:{'x' * length}\n".encode() for n, length in enumerate(lines)]
    wanted = b"".join(waiting)
    disk = SmallDisk(0)
    segments = Segments(root, "a", now_ms=Wall(), segment_bytes=50, open_file=disk.open)

    for room in [*rooms, 10_000]:
        disk.room = room
        del waiting[: segments.write(waiting).lines]
    segments.close()

    assert waiting == []
    files = sorted(root.glob("*/*"), key=lambda path: int(path.stem.rpartition("-")[2]))
    assert b"".join(path.read_bytes() for path in files) == wanted


def test_a_number_is_never_given_twice_though_its_segment_was_removed(tmp_path: Path) -> None:
    segments = Segments(tmp_path, "a", now_ms=Wall(), segment_bytes=1)

    for line in (b"one\n", b"two\n"):
        segments.write([line])
    (tmp_path / "2026-11-23/21-a-0.jsonl").unlink()
    segments.write([b"six\n"])
    segments.close()

    assert names(tmp_path) == ["2026-11-23/21-a-1.jsonl", "2026-11-23/21-a-2.jsonl"]


def test_retries_on_a_full_disk_leave_no_empty_segments(tmp_path: Path) -> None:
    segments = Segments(tmp_path, "a", now_ms=Wall(), segment_bytes=1_000, open_file=SmallDisk(0).open)

    for _ in range(5):
        assert segments.write([b"one\n"]).error is not None

    assert names(tmp_path) == []

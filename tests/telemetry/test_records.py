"""One record per request reaches the disk, or is waiting, or is counted as lost; and the caller never waits."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gateway.domain.record import UsageRecord
from gateway.telemetry.logs import make_log
from gateway.telemetry.reading import read_records
from gateway.telemetry.records import JsonlRecorder, RecorderLimits
from gateway.telemetry.retention import Retention
from tests.support.records import a_record, a_usage, amounts, an_attempt
from tests.telemetry.disks import SmallDisk

NOW = 1_795_469_400_000  # 2026-11-23 21:30 UTC
ROOT = Path(__file__).parents[2]
QUICK = RecorderLimits(batch_s=0.001, sync_s=0.01, retry_s=0.01)


def until(what: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 10
    while not what():
        assert time.monotonic() < give_up, "waited in vain"
        time.sleep(0.001)


@contextmanager
def recording(directory: Path, *, log: io.StringIO | None = None, **more: Any) -> Iterator[JsonlRecorder]:
    more = {"limits": QUICK, **more}
    recorder = JsonlRecorder(
        directory, "gw-a", now_ms=lambda: NOW, log=make_log(log or io.StringIO(), console=False), **more
    )
    recorder.start()
    try:
        yield recorder
    finally:
        recorder.close()


def ids(directory: Path) -> list[str]:
    return [record.request_id for record in read_records(directory / "records")]


def test_a_record_is_one_line_of_json_that_reads_back_the_same(tmp_path: Path) -> None:
    cost = amounts(12_345, 2_500, None)
    record = a_record(
        an_attempt(usage=a_usage(100, 50), rated=cost), rated=cost, tags={"app": "bot"}, session="s", ttft_ms=12.5
    )

    with recording(tmp_path) as recorder:
        recorder.record(record)

    (path,) = (tmp_path / "records").glob("*/*")
    (line,) = path.read_bytes().splitlines()
    told = json.loads(line)
    assert told["schema"] == "joulegate.record/1"
    assert told["outcome"] == "served"
    assert told["rated"] == {"usd_nanos": 12_345, "energy_mj": 2_500, "carbon_ug": None, "tokens": 0, "requests": 1}
    assert told["attempts"][0]["usage"]["basis"] == "provider"
    assert list(read_records(path)) == [record]


def test_text_that_is_no_valid_unicode_is_written_all_the_same(tmp_path: Path) -> None:
    with recording(tmp_path) as recorder:
        recorder.record(a_record(tags={"half": "\ud83d"}, input_tokens_estimated=2**70))
        recorder.record(a_record(request_id="r-2"))

    lines = b"".join(path.read_bytes() for path in (tmp_path / "records").glob("*/*")).splitlines()
    assert json.loads(lines[0])["input_tokens_estimated"] == 2**70
    assert json.loads(lines[1])["request_id"] == "r-2"


def test_closing_writes_what_waits(tmp_path: Path) -> None:
    with recording(tmp_path, limits=RecorderLimits(batch_s=30.0)) as recorder:
        for n in range(1_000):
            recorder.record(a_record(request_id=f"r-{n}"))
        assert recorder.close() == 0

    assert ids(tmp_path) == [f"r-{n}" for n in range(1_000)]


def test_closing_what_was_never_started_tells_what_waits(tmp_path: Path) -> None:
    recorder = JsonlRecorder(tmp_path, "a", now_ms=lambda: NOW, log=make_log(io.StringIO()))

    recorder.record(a_record())

    assert recorder.close() == 1


def test_closing_twice_does_no_harm(tmp_path: Path) -> None:
    with recording(tmp_path) as recorder:
        recorder.record(a_record())
        assert (recorder.close(), recorder.close()) == (0, 0)

    assert ids(tmp_path) == ["r-1"]


def test_batches_are_told_to_the_log_once_each(tmp_path: Path) -> None:
    told: list[str] = []

    def tell(records: Sequence[UsageRecord]) -> None:
        told.extend(record.request_id for record in records)

    with recording(tmp_path, tell=tell) as recorder:
        for n in range(50):
            recorder.record(a_record(request_id=f"r-{n}"))

    assert told == [f"r-{n}" for n in range(50)]


def test_a_full_disk_fills_memory_then_refuses_then_loses_and_counts_it(tmp_path: Path) -> None:
    disk, log = SmallDisk(0), io.StringIO()
    limits = RecorderLimits(waiting_max=10, headroom=5, batch_s=0.001, retry_s=0.01)
    with recording(tmp_path, limits=limits, open_file=disk.open, log=log) as recorder:
        for n in range(9):
            recorder.record(a_record(request_id=f"r-{n}"))
        until(lambda: recorder.view().write_errors > 1)
        room_left = recorder.healthy()

        recorder.record(a_record(request_id="r-9"))
        refusing = not recorder.healthy()
        for n in range(10, 20):
            recorder.record(a_record(request_id=f"r-{n}"))

        assert (room_left, refusing) == (True, True)
        assert recorder.view().lost == 5
        assert recorder.view().waiting == 15
        disk.room = 10**9
        until(recorder.healthy)
        until(lambda: recorder.view().waiting == 0)

    assert ids(tmp_path) == [f"r-{n}" for n in range(15)]
    events = [json.loads(line)["event"] for line in log.getvalue().splitlines()]
    assert events == ["records_not_written", "records_written_again"]


def test_a_disk_that_fills_in_the_middle_of_a_line_loses_and_doubles_nothing(tmp_path: Path) -> None:
    disk = SmallDisk(0)
    with recording(tmp_path, open_file=disk.open) as recorder:
        for n in range(40):
            recorder.record(a_record(request_id=f"r-{n}"))
        until(lambda: recorder.view().write_errors > 0)
        while recorder.view().waiting:
            disk.room += 1_234
            time.sleep(0.002)

    reader = read_records(tmp_path / "records")
    assert [record.request_id for record in reader] == [f"r-{n}" for n in range(40)]
    assert (reader.torn, reader.damaged) == (0, 0)


def test_closing_on_a_full_disk_says_what_was_lost(tmp_path: Path) -> None:
    with recording(tmp_path, open_file=SmallDisk(0).open) as recorder:
        recorder.record(a_record())
        assert recorder.close() == 1


def test_a_directory_that_can_not_be_made_is_a_disk_that_does_not_write(tmp_path: Path) -> None:
    (tmp_path / "records").write_text("a file stands where the directory should")
    with recording(tmp_path) as recorder:
        recorder.record(a_record())
        until(lambda: recorder.view().write_errors > 0)
        (tmp_path / "records").unlink()
        until(lambda: recorder.view().waiting == 0)

    assert ids(tmp_path) == ["r-1"]


def test_disk_use_is_bounded_while_it_runs(tmp_path: Path) -> None:
    limits = RecorderLimits(segment_bytes=2_000, batch_s=0.001)
    with recording(tmp_path, limits=limits, retention=Retention(keep_bytes=6_000)) as recorder:
        for n in range(60):
            recorder.record(a_record(request_id=f"r-{n}"))
            until(lambda written=n + 1: recorder.view().written == written)
        assert recorder.view().files_expired > 0

    sizes = [path.stat().st_size for path in (tmp_path / "records").glob("*/*")]
    assert sum(sizes) < 6_000 + 2 * (2_000 + 1_500)
    assert ids(tmp_path)[-1] == "r-59"


def test_a_torn_last_line_and_a_damaged_one_are_skipped_and_counted(tmp_path: Path) -> None:
    with recording(tmp_path) as recorder:
        for n in range(3):
            recorder.record(a_record(request_id=f"r-{n}"))
    (path,) = (tmp_path / "records").glob("*/*")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b'{"not": "a record"}\n' + lines[1] + lines[2][:40])

    reader = read_records(path)

    assert [record.request_id for record in reader] == ["r-0", "r-1"]
    assert (reader.torn, reader.damaged) == (1, 1)


def test_fields_of_a_later_version_are_ignored(tmp_path: Path) -> None:
    with recording(tmp_path) as recorder:
        recorder.record(a_record())
    (path,) = (tmp_path / "records").glob("*/*")
    path.write_bytes(path.read_bytes().replace(b'{"request_id"', b'{"invented_later":[1],"request_id"', 1))

    assert ids(tmp_path) == ["r-1"]


def test_the_kernels_own_full_device_is_survived(tmp_path: Path) -> None:
    def open_full(_: Path) -> io.FileIO:
        return io.FileIO("/dev/full", "wb")

    log = io.StringIO()
    with recording(tmp_path, open_file=open_full, log=log) as recorder:
        recorder.record(a_record())
        until(lambda: recorder.view().write_errors > 2)

    (line,) = (json.loads(line) for line in log.getvalue().splitlines())
    assert (line["event"], line["error"]) == ("records_not_written", "No space left on device")


KILLED = """
import io, sys, time
from pathlib import Path
from gateway.telemetry.logs import make_log
from gateway.telemetry.records import JsonlRecorder, RecorderLimits
from tests.support.records import a_record
recorder = JsonlRecorder(
    Path(sys.argv[1]), "gw-a", now_ms=lambda: 0, log=make_log(io.StringIO()),
    limits=RecorderLimits(batch_s=0.001, segment_bytes=20_000),
)
recorder.start()
n = 0
while True:
    recorder.record(a_record(request_id=f"r-{n}"))
    n += 1
    if recorder.view().written > 50:
        print("writing", flush=True)
    time.sleep(0.0001)
"""


def test_a_process_killed_while_it_writes_leaves_records_without_gaps(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, cwd=ROOT)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == b"writing\n"
    finally:
        child.kill()
        child.wait()
        child.stdout.close()

    reader = read_records(tmp_path / "records")
    found = [record.request_id for record in reader]
    assert len(found) > 50
    assert found == [f"r-{n}" for n in range(len(found))]
    assert reader.damaged == 0
    assert reader.torn <= 1

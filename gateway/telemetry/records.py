"""Usage records on disk: `joulegate.record/1`, one JSON line per request, in files of an hour and of a bounded size.

    data_dir/records/2026-11-23/21-gateway-a-0.jsonl        UTC hour of writing, gateway, number

- `record` appends to memory; a thread writes what has gathered, and tells the log about it.
- Durability: a batch reaches the kernel within BATCH_S, the disk (fdatasync) within SYNC_S. A killed process loses at
  most the former, a power cut the latter; the ledger's rows still name those requests.
- A disk that refuses: lines wait in memory and are tried again each RETRY_S. Above `waiting_max` records `healthy` is
  False, so new requests are refused while running ones still find room (`headroom`); beyond that a record is lost and
  counted. When the disk takes writes again everything waiting is written, in order.
- A file is never appended to by a later process, so only a file's last line can be torn; see reading.py.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from gateway.domain.record import UsageRecord
from gateway.telemetry.lines import to_line
from gateway.telemetry.logs import Log
from gateway.telemetry.retention import Retention
from gateway.telemetry.segments import RawFile, Segments, open_new
from gateway.telemetry.views import RecorderView

BATCH_S = 0.05  # encoding holds the interpreter: 15 us a record, so this bounds the pause at 1,000 requests/s to 1 ms
SYNC_S = 1.0
RETRY_S = 1.0
CLOSE_S = 10.0  # longest that `close` waits for a disk
LINES_A_WRITE = 256
WAITING_MAX = 4_096  # about 16 MiB of records
HEADROOM = 4_096  # as many as may run at once: Limits.concurrent_requests
SEGMENT_BYTES = 64 * 1024 * 1024

Tell = Callable[[Sequence[UsageRecord]], None]


@dataclass(frozen=True, slots=True)
class RecorderLimits:
    """Bounds and periods of the recorder; the defaults are the product's."""

    waiting_max: int = WAITING_MAX
    headroom: int = HEADROOM
    segment_bytes: int = SEGMENT_BYTES
    batch_s: float = BATCH_S
    sync_s: float = SYNC_S
    retry_s: float = RETRY_S


class JsonlRecorder:
    """Implements `ports.Recorder`. `start` begins the thread; `close` writes what waits and ends it.

    now_ms: wall clock. tell: given each batch once, on the thread, whether or not the disk takes it; must not raise.
    """

    def __init__(
        self,
        data_dir: Path,
        gateway: str,
        *,
        now_ms: Callable[[], int],
        log: Log,
        tell: Tell | None = None,
        limits: RecorderLimits = RecorderLimits(),
        retention: Retention = Retention(),  # noqa: B008  (frozen)
        open_file: Callable[[Path], RawFile] = open_new,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.root = data_dir / "records"
        self._gateway = gateway
        self._now_ms = now_ms
        self._log = log
        self._tell = tell
        self._limits = limits
        self._retention = retention
        self._segments = Segments(
            self.root, gateway, now_ms=now_ms, segment_bytes=limits.segment_bytes, open_file=open_file
        )
        self._waiting_most = limits.waiting_max + limits.headroom
        self._records: deque[UsageRecord] = deque()
        self._lines: deque[bytes] = deque()
        self._written = self._lost = self._write_errors = self._files_expired = 0
        self._failing = False
        self._monotonic = monotonic
        self._synced_at = monotonic()
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="joulegate-records", daemon=True)

    def start(self) -> None:
        """Begin to write; call once."""
        self._thread.start()

    def record(self, record: UsageRecord) -> None:
        """Append; written in batches by the thread."""
        if len(self._records) + len(self._lines) >= self._waiting_most:
            self._lost += 1
            return
        self._records.append(record)
        if not self._wake.is_set():
            self._wake.set()

    def healthy(self) -> bool:
        """Whether there is room for the records of new requests."""
        return len(self._records) + len(self._lines) < self._limits.waiting_max

    def view(self) -> RecorderView:
        """For metrics."""
        return RecorderView(
            written=self._written,
            lost=self._lost,
            waiting=len(self._records) + len(self._lines),
            waiting_max=self._limits.waiting_max,
            files_expired=self._files_expired,
            write_errors=self._write_errors,
        )

    def close(self, timeout_s: float = CLOSE_S) -> int:
        """Write and sync what waits, end the thread; how many records could not be written."""
        self._stop.set()
        self._wake.set()
        if self._thread.ident is not None:  # else `start` was never reached
            self._thread.join(timeout_s)
        return len(self._records) + len(self._lines)

    def _run(self) -> None:
        self._expire()
        while not self._stop.is_set():
            self._wake.wait(self._patience_s())
            self._wake.clear()
            self._stop.wait(self._limits.retry_s if self._failing else self._limits.batch_s)  # lets a batch gather
            self._turn()
        self._turn()
        self._note(self._segments.close())

    def _patience_s(self) -> float | None:
        """How long to wait for a record: not at all while lines wait, until the next sync, else for ever."""
        if self._lines:
            return 0.0
        return self._limits.sync_s if self._segments.unsynced else None

    def _turn(self) -> None:
        self._take()
        while self._lines and self._write_some():
            pass
        if self._segments.unsynced and self._monotonic() - self._synced_at >= self._limits.sync_s:
            self._synced_at = self._monotonic()
            self._note(self._segments.sync())

    def _take(self) -> None:
        batch = [self._records.popleft() for _ in range(len(self._records))]
        self._lines.extend(map(to_line, batch))
        if batch and self._tell is not None:
            self._tell(batch)

    def _write_some(self) -> bool:
        path = self._segments.path
        written = self._segments.write(tuple(islice(self._lines, LINES_A_WRITE)))
        for _ in range(written.lines):
            self._lines.popleft()
        self._written += written.lines
        self._note(written.error)
        if written.error is None and self._failing:
            self._failing = False
            self._log.info("records_written_again", waiting=len(self._lines))
        if self._segments.path != path:
            self._expire()
        return written.error is None

    def _note(self, error: OSError | None) -> None:
        if error is None:
            return
        self._write_errors += 1
        if not self._failing:
            self._failing = True
            self._log.error("records_not_written", error=error.strerror, waiting=len(self._lines))

    def _expire(self) -> None:
        expired = self._retention.expire(
            self.root, gateway=self._gateway, now_ms=self._now_ms(), open_path=self._segments.path
        )
        self._files_expired += expired
        if expired:
            self._log.info("record_files_expired", files=expired)

"""Files that lines are appended to: a new one each hour, at each size bound, and after each error.

Nothing here knows what a line means, only that it ends with a newline and holds no other.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol


class RawFile(Protocol):
    """An unbuffered file, as `open(path, "xb", buffering=0)` gives it."""

    def write(self, data: memoryview, /) -> int | None:
        """Write some of `data`; how much."""
        ...

    def truncate(self, size: int, /) -> int:
        """Cut to `size` bytes."""
        ...

    def fileno(self) -> int:
        """The descriptor."""
        ...

    def close(self) -> None:
        """Close."""
        ...


@dataclass(frozen=True, slots=True)
class Written:
    """How many lines the kernel took, and what stopped it if it did not take all."""

    lines: int
    error: OSError | None = None


def open_new(path: Path) -> RawFile:
    """A new file for its owner and group, never one that exists: appending could follow a torn line."""
    path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o640), "wb", buffering=0)


class Segments:
    """Appends to `root/YYYY-MM-DD/HH-<gateway>-<n>.jsonl`, UTC. Used by one thread."""

    def __init__(
        self,
        root: Path,
        gateway: str,
        *,
        now_ms: Callable[[], int],
        segment_bytes: int,
        open_file: Callable[[Path], RawFile] = open_new,
    ) -> None:
        self._root = root
        self._gateway = gateway
        self._now_ms = now_ms
        self._segment_bytes = segment_bytes
        self._open_file = open_file
        self._file: RawFile | None = None
        self._hour = ""
        self._next = 0
        self._size = 0
        self._synced = True
        self.path: Path | None = None

    @property
    def unsynced(self) -> bool:
        """Whether the kernel holds lines that the disk may not have."""
        return not self._synced

    def write(self, lines: Sequence[bytes]) -> Written:
        """Append, whole lines only: after an error the torn end is cut off and the next write opens a new file."""
        blob = memoryview(b"".join(lines))
        sent = 0
        try:
            file = self._file_of_now()
            while sent < len(blob):
                sent += file.write(blob[sent:]) or 0
        except OSError as error:
            taken = bytes(blob[:sent])
            self._abandon(self._size + taken.rfind(b"\n") + 1)
            return Written(taken.count(b"\n"), error)
        self._size += sent
        self._synced = False
        return Written(len(lines))

    def sync(self) -> OSError | None:
        """Make the disk have it. After an error the file is left: what its pages hold can not be known any more."""
        if self._file is None or self._synced:
            return None
        try:
            os.fdatasync(self._file.fileno())
        except OSError as error:
            self._close()
            return error
        self._synced = True
        return None

    def close(self) -> OSError | None:
        """Sync and close the open file."""
        error = self.sync()
        self._close()
        return error

    def _file_of_now(self) -> RawFile:
        hour = hour_of(self._now_ms())
        if self._file is not None and (hour != self._hour or self._size >= self._segment_bytes):
            self.close()
        if self._file is None:
            self.path, self._file = self._open_next(hour)
            self._size, self._synced = 0, True
        return self._file

    def _open_next(self, hour: str) -> tuple[Path, RawFile]:
        """The next number after any that we, or a process before us, gave out in this hour: numbers are an order."""
        if hour != self._hour:
            given = [number_of(path) for path in self._root.glob(f"{hour}-{self._gateway}-*.jsonl")]
            self._next = max(given, default=-1) + 1
            self._hour = hour
        path = self._root / f"{hour}-{self._gateway}-{self._next}.jsonl"
        self._next += 1
        return path, self._open_file(path)

    def _abandon(self, whole_bytes: int) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):  # then the reader finds and counts one torn line
                self._file.truncate(whole_bytes)
            if self.path is not None and whole_bytes == 0:  # or a full disk would gather an empty file at each retry
                with contextlib.suppress(OSError):
                    self.path.unlink()
        self._close()

    def _close(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
        self._file = None
        self._synced = True


def hour_of(wall_ms: int) -> str:
    """`YYYY-MM-DD/HH` in UTC: the beginning of a segment's name, and its order among segments."""
    return datetime.fromtimestamp(wall_ms / 1_000, UTC).strftime("%Y-%m-%d/%H")


def number_of(path: Path) -> int:
    """`n` of `HH-<gateway>-<n>.jsonl`; 0 for a file that is not ours."""
    number = path.stem.rpartition("-")[2]
    return int(number) if number.isdigit() else 0

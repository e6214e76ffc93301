"""Which segments go when they are too old or too many. Oldest first, and never one that may still be written."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from gateway.telemetry.segments import hour_of, number_of

DAY_MS = 24 * 3_600_000
KEEP_DAYS = 400  # thirteen months, so that a month can be compared with the same one last year
KEEP_BYTES = 4 * 1024**3


@dataclass(frozen=True, slots=True)
class Retention:
    """How long and how much. Bytes count closed segments of every gateway that writes to this directory."""

    keep_days: int = KEEP_DAYS
    keep_bytes: int = KEEP_BYTES

    def expire(self, root: Path, *, gateway: str, now_ms: int, open_path: Path | None) -> int:
        """Remove what is beyond the bounds; how many files went. A file that can not be removed is left."""
        closed = [path for path in segments(root) if path != open_path and is_closed(path, root, gateway, now_ms)]
        oldest_kept_hour = hour_of(now_ms - self.keep_days * DAY_MS)
        sizes = {path: size_of(path) for path in closed}
        excess_bytes = sum(sizes.values()) - self.keep_bytes
        removed = 0
        for path in closed:
            if excess_bytes <= 0 and hour_in_name(path, root) >= oldest_kept_hour:
                break
            excess_bytes -= sizes[path]
            removed += remove(path)
        return removed


def segments(root: Path) -> list[Path]:
    """All segments under `root`, oldest first."""
    return sorted(root.glob("*/*.jsonl"), key=lambda path: (hour_in_name(path, root), *writer_of(path)))


def hour_in_name(path: Path, root: Path) -> str:
    """`YYYY-MM-DD/HH` of a segment."""
    return path.relative_to(root).as_posix()[:13]


def writer_of(path: Path) -> tuple[str, int]:
    """Gateway and number of `HH-<gateway>-<n>.jsonl`."""
    return path.stem[3:].rpartition("-")[0], number_of(path)


def is_closed(path: Path, root: Path, gateway: str, now_ms: int) -> bool:
    """Our own segments are closed unless open; another gateway's only once its hour and a minute have passed."""
    return writer_of(path)[0] == gateway or hour_in_name(path, root) < hour_of(now_ms - 60_000)


def size_of(path: Path) -> int:
    """Bytes of a file; 0 if it went meanwhile."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def remove(path: Path) -> bool:
    """Remove a segment, and its day if that is empty now."""
    try:
        path.unlink()
    except OSError:
        return False
    with contextlib.suppress(OSError):
        path.parent.rmdir()
    return True

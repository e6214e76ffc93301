"""Disks that fail as disks do: full after some bytes, in the middle of a line, until somebody makes room."""

from __future__ import annotations

import errno
from pathlib import Path

from gateway.telemetry.segments import RawFile, open_new


class SmallDisk:
    """Opens real files, and lets `room` bytes be written in all. `cuts_back`: whether a file can still be truncated."""

    def __init__(self, room: int, *, cuts_back: bool = True) -> None:
        self.room = room
        self.cuts_back = cuts_back
        self.opened: list[Path] = []

    def open(self, path: Path) -> RawFile:
        self.opened.append(path)
        return _SmallFile(open_new(path), self)


class _SmallFile:
    def __init__(self, file: RawFile, disk: SmallDisk) -> None:
        self._file = file
        self._disk = disk

    def write(self, data: memoryview, /) -> int | None:
        fits = data[: self._disk.room]
        if not fits and data:
            raise OSError(errno.ENOSPC, "No space left on device")
        self._disk.room -= len(fits)
        return self._file.write(fits)

    def truncate(self, size: int, /) -> int:
        if not self._disk.cuts_back:
            raise OSError(errno.EIO, "Input/output error")
        return self._file.truncate(size)

    def fileno(self) -> int:
        return self._file.fileno()

    def close(self) -> None:
        self._file.close()

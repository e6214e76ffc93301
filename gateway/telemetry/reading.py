"""Reads usage records back, and counts what it could not read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from gateway.domain.record import UsageRecord
from gateway.telemetry.retention import segments


class RecordReader:
    """Iterates over the records of a segment, or of all segments under a directory, oldest segment first.

    torn: last lines cut short by a crash; damaged: other lines that are no record. Both are skipped, and known in full
    when the iteration has ended. Fields that this version does not know are ignored.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._parse = TypeAdapter(UsageRecord)
        self.torn = 0
        self.damaged = 0

    def __iter__(self) -> Iterator[UsageRecord]:
        for path in segments(self._path) if self._path.is_dir() else [self._path]:
            with path.open("rb") as lines:
                for line in lines:
                    try:
                        yield self._parse.validate_json(line)
                    except ValidationError:
                        self._skip(line)

    def _skip(self, line: bytes) -> None:
        if line.endswith(b"\n"):
            self.damaged += 1
        else:
            self.torn += 1


def read_records(path: Path) -> RecordReader:
    """Records of a `.jsonl` file, or of a `records` directory."""
    return RecordReader(path)

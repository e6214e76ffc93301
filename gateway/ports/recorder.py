"""Where usage records go."""

from __future__ import annotations

from typing import Protocol

from gateway.domain.record import UsageRecord


class Recorder(Protocol):
    """Takes one record per request. Never blocks the loop, never raises for a full disk: it says so by `healthy`."""

    def record(self, record: UsageRecord) -> None:
        """Append; written in batches by a thread."""
        ...

    def healthy(self) -> bool:
        """False while records can not be written and the memory that holds them is full: then requests are refused."""
        ...

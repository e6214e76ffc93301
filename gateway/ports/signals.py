"""What metrics want to hear."""

from __future__ import annotations

from typing import Protocol

from gateway.domain.record import UsageRecord


class Signals(Protocol):
    """Told once per request at its end, and of the few things no record holds."""

    def ended(self, record: UsageRecord) -> None:
        """A request with a valid key ended; all counters of it come from its record, so sums agree with the ledger."""
        ...

    def refused(self, reason: str) -> None:
        """A request without a record was turned away (closed set: no_key, bad_key, framing, overloaded, ...)."""
        ...

    def streams(self, change: int) -> None:
        """A stream to a client began (+1) or ended (-1)."""
        ...

"""Time, given to those who may not read it."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """Monotonic seconds for durations, wall milliseconds for stamps."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never goes back."""
        ...

    def wall_ms(self) -> int:
        """Milliseconds since 1970 UTC."""
        ...

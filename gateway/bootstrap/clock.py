"""The machine's clocks, for those who may not read them."""

from __future__ import annotations

import time


class SystemClock:
    """Implements `ports.Clock`."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; the clock of the event loop too."""
        return time.monotonic()

    def wall_ms(self) -> int:
        """Milliseconds since 1970 UTC."""
        return time.time_ns() // 1_000_000

"""A histogram as plain as it can be: one list of counts, one sum.

prometheus-client's own walks its buckets under a lock at each observation; this is one bisection.
"""

from __future__ import annotations

from bisect import bisect_left


class Histogram:
    """Counts of observations per bucket, upper bounds inclusive. Written by one thread, read by any."""

    __slots__ = ("_counts", "bounds", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.total = 0.0
        self._counts = [0] * (len(bounds) + 1)

    def observe(self, value: float) -> None:
        """Count one observation."""
        self._counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    @property
    def count(self) -> int:
        """Observations so far."""
        return sum(self._counts)

    def cumulative(self) -> list[tuple[str, float]]:
        """Buckets as Prometheus wants them: `le` and the observations at or below it, the last `+Inf`."""
        below = 0
        buckets: list[tuple[str, float]] = []
        for bound, count in zip((*map(repr, self.bounds), "+Inf"), tuple(self._counts), strict=True):
            below += count
            buckets.append((bound, float(below)))
        return buckets

"""A deadline that moves often and is rarely reached."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf


class Watch:
    """Calls `expired` once the deadline has passed. Moving it later costs nothing: the timer looks when it rings."""

    def __init__(self, loop: asyncio.AbstractEventLoop, expired: Callable[[], None]) -> None:
        self._loop = loop
        self._expired = expired
        self._due = self._rings_at = inf
        self._timer: asyncio.TimerHandle | None = None

    def set(self, due: float) -> None:
        """From now on, `due` (loop time) is the deadline; `inf` for none."""
        self._due = due
        if due < self._rings_at:
            self._stop_timer()
            self._rings_at = due
            self._timer = self._loop.call_at(due, self._look)

    def stop(self) -> None:
        """No deadline and no timer any more."""
        self._due = inf
        self._stop_timer()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._rings_at = None, inf

    def _look(self) -> None:
        self._timer, self._rings_at = None, inf
        if self._loop.time() >= self._due:
            self._due = inf
            self._expired()
        else:
            self.set(self._due)

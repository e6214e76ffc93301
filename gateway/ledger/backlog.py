"""Ends of holds that Redis did not take: tried again until it does. Bounded; nothing waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from gateway.domain.faults import LedgerUnavailable

CAPACITY: Final = 10_000  # about 10 MiB; above it the lease's watermark is what gets charged
WAIT_FIRST_S: Final = 0.1
WAIT_MOST_S: Final = 2.0

log = logging.getLogger(__name__)

Step = Callable[[], Awaitable[object]]


class Backlog:
    """A queue of repeatable steps. `dropped` counts those that found it full, or were broken in themselves."""

    def __init__(self, capacity: int = CAPACITY):
        self._capacity = capacity
        self._steps: deque[Step] = deque()
        self._task: asyncio.Task[None] | None = None
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._steps)

    def add(self, step: Step) -> None:
        """Try this step later, until it does not raise LedgerUnavailable."""
        if len(self._steps) >= self._capacity:
            self.dropped += 1
            return
        self._steps.append(step)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._work(), name="ledger-backlog")

    async def close(self, patience_s: float) -> None:
        """Give what is left that long; then stop."""
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=patience_s)
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _work(self) -> None:
        wait_s = WAIT_FIRST_S
        while self._steps:
            try:
                await self._steps[0]()
            except LedgerUnavailable:
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, WAIT_MOST_S)
            except Exception:  # a step that can never work must not keep the others from it
                log.exception("the end of a hold could not be booked; its lease will charge the watermark")
                self._steps.popleft()
                self.dropped += 1
            else:
                self._steps.popleft()
                wait_s = WAIT_FIRST_S

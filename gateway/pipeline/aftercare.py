"""Work that must outlive the request that caused it: settling, counting, writing the record.

A client's leaving cancels the request's own task; nothing here is cancelled by that. Shutdown drains it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


class Aftercare:
    """Keeps a reference to every detached task until it ends, and tells a failure instead of swallowing it."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run `work` detached from the caller's cancellation. A failure reaches the loop's exception handler."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        task.get_loop().call_exception_handler({"message": "aftercare failed", "exception": error, "task": task})

    @property
    def pending(self) -> int:
        """Tasks not finished yet."""
        return len(self._tasks)

    async def drain(self, seconds: float) -> int:
        """Wait until all is done, at most `seconds`; returns how many were still running (they go on)."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while self._tasks and (left := until - loop.time()) > 0:
            await asyncio.wait(self._tasks, timeout=left)
        return len(self._tasks)

"""Ending work for sure: a library may swallow one cancellation, and a shutdown that waits for it would never end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from typing import Any

from gateway.telemetry.logs import Log

PATIENCE_S = 1.0  # between two cancellations of the same task
STEP_SECONDS_MAX = 12.0  # longest any room may take to close; the recorder and the ledger bound themselves below it


async def end_tasks(tasks: Iterable[asyncio.Task[Any]], *, patience_s: float = PATIENCE_S) -> None:
    """Cancel until every task has ended: a client library may turn a cancellation into an error that is borne."""
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=patience_s)


async def in_time(step: str, closing: Awaitable[object], log: Log, *, seconds: float = STEP_SECONDS_MAX) -> None:
    """Await one step of a shutdown; one that takes too long is told, and the next is taken."""
    try:
        async with asyncio.timeout(seconds):
            await closing
    except TimeoutError:
        log.error("close_timed_out", step=step, seconds=seconds)

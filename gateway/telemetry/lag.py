"""How late the event loop is: a task asks to be woken at a time and sees when it was."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

INTERVAL_S = 0.25


async def watch_loop(observe: Callable[[float], None], *, interval_s: float = INTERVAL_S) -> None:
    """Until cancelled, tell `observe` the lag in seconds, never negative, every `interval_s`."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + interval_s
        await asyncio.sleep(interval_s)
        observe(max(0.0, loop.time() - due))

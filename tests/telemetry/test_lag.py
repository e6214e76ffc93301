"""A loop that is held up is seen to be late."""

from __future__ import annotations

import asyncio
import contextlib
import time

from gateway.telemetry.lag import watch_loop


async def test_a_loop_held_up_is_late_by_as_much() -> None:
    lags: list[float] = []
    seen = asyncio.Event()

    def observe(lag_s: float) -> None:
        lags.append(lag_s)
        seen.set()

    watching = asyncio.create_task(watch_loop(observe, interval_s=0.01))
    await seen.wait()
    seen.clear()
    time.sleep(0.1)  # the fault: somebody blocks the loop
    await seen.wait()
    watching.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watching

    assert max(lags) > 0.05
    assert min(lags) >= 0

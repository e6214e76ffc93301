"""A shutdown ends, whatever swallows a cancellation or forgets to close."""

from __future__ import annotations

import asyncio
import io
import json

from gateway.bootstrap.ending import end_tasks, in_time
from gateway.telemetry.logs import make_log


async def test_a_task_whose_library_swallows_a_cancellation_is_cancelled_again() -> None:
    swallowed = 0

    async def follows() -> None:
        nonlocal swallowed
        while swallowed < 2:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                swallowed += 1  # as a client does that turns it into a connection error
        await asyncio.sleep(60)

    task = asyncio.create_task(follows())
    await asyncio.sleep(0)

    await end_tasks([task], patience_s=0.01)

    assert task.cancelled()
    assert swallowed == 2


async def test_tasks_that_have_ended_are_nobodys_concern() -> None:
    done = asyncio.create_task(asyncio.sleep(0))
    await done

    await end_tasks([done])
    await end_tasks([])


async def test_a_room_that_will_not_close_is_told_and_passed_by() -> None:
    told = io.StringIO()

    await asyncio.wait_for(in_time("ledger", asyncio.Event().wait(), make_log(told), seconds=0.01), 5)

    line = json.loads(told.getvalue())
    assert (line["level"], line["step"]) == ("error", "ledger")

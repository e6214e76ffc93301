from __future__ import annotations

import asyncio

import pytest

from gateway.domain.faults import LedgerUnavailable
from gateway.ledger import backlog as module
from gateway.ledger.backlog import Backlog


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAIT_FIRST_S", 0.001)


async def test_a_step_is_tried_until_the_ledger_is_back() -> None:
    backlog, tries = Backlog(), []

    async def step() -> None:
        tries.append(1)
        if len(tries) < 3:
            raise LedgerUnavailable("away")

    backlog.add(step)
    await backlog.close(5)

    assert len(tries) == 3
    assert len(backlog) == 0


async def test_a_step_that_is_broken_in_itself_does_not_hold_up_the_others() -> None:
    backlog, done = Backlog(), []

    async def broken() -> None:
        raise ValueError("never")

    async def fine() -> None:
        done.append(1)

    backlog.add(broken)
    backlog.add(fine)
    await backlog.close(5)

    assert done == [1]
    assert backlog.dropped == 1


async def test_above_its_capacity_steps_are_dropped_and_counted() -> None:
    backlog = Backlog(capacity=2)

    async def never() -> None:
        raise LedgerUnavailable("away")

    for _ in range(5):
        backlog.add(never)

    assert (len(backlog), backlog.dropped) == (2, 3)
    await backlog.close(0.01)
    await asyncio.sleep(0)

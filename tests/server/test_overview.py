from __future__ import annotations

import asyncio

import pytest

from gateway.domain.faults import LedgerUnavailable
from gateway.server import overview as overview_module
from gateway.server.overview import SAMPLES_MAX, History, Overview
from tests.server.office import NOW_MS, Office, an_overview


async def test_the_history_is_bounded_and_oldest_first() -> None:
    history = History(Office().offices.overview)
    for _ in range(SAMPLES_MAX + 5):
        await history.take()

    seen = await history.seen()

    assert len(seen["history"]) == SAMPLES_MAX
    assert [seen["history"][0]["at_ms"], seen["history"][-1]["at_ms"]] == [NOW_MS + 6 * 2_000, NOW_MS + 205 * 2_000]


@pytest.mark.parametrize("fault", [LedgerUnavailable(), RuntimeError("unforeseen")])
async def test_a_failure_leaves_a_gap_and_sampling_goes_on(fault: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overview_module, "SAMPLE_SECONDS", 0)
    office, asked, enough = Office(), 0, asyncio.Event()

    async def sometimes() -> Overview:
        nonlocal asked
        asked += 1
        if asked > 3:
            enough.set()
        if asked == 2:
            raise fault
        return an_overview(asked, 2_000, office.recent, draining=False)

    history = History(sometimes)
    running = asyncio.create_task(history.run())
    async with asyncio.timeout(2.0):
        await enough.wait()
    running.cancel()

    steps = [(sample["at_ms"] - NOW_MS) // 2_000 for sample in (await history.seen())["history"]]
    assert steps[:2] == [1, 3]

"""200 requests over the simulated backends: our counters equal theirs, and every metric agrees with the records."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack

import openai
import pytest

from tests.support.gateway import Gateway, Served, gateway, write_config
from tests.support.simulated import Simulated, simulated

POLICY = """
models:
  - {name: chat, members: [MEMBERS]}
budgets:
  - {name: generous, scope: {team: support}, limit_usd: "100.00", window: month}
"""


@pytest.fixture(scope="module")
def backends(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Simulated]]:
    directory = tmp_path_factory.mktemp("backends")
    with ExitStack() as stack:
        yield [
            stack.enter_context(simulated(name, directory, ttft_base_ms=5, tpot_base_ms=0.2, concurrent_max=16))
            for name in ("thrifty", "steady", "swift")
        ]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, backends: list[Simulated]) -> Iterator[Gateway]:
    # a cap of 8 in flight spreads the burst over all three
    served = [Served(b.name, b.url, profile=f"demo/{b.name}", extra={"limits": {"concurrent": 8}}) for b in backends]
    with gateway(write_config(tmp_path_factory.mktemp("gateway"), served, policy=POLICY)) as running:
        yield running


async def test_token_counters_equal_the_backends_own_over_200_requests(
    house: Gateway, backends: list[Simulated]
) -> None:
    client = openai.AsyncOpenAI(base_url=house.url, api_key=house.key(), max_retries=0)
    places = asyncio.Semaphore(20)

    async def ask(number: int) -> None:
        async with places:
            history = [{"role": "user", "content": f"Message {n} of conversation {number % 7}."} for n in range(3)]
            if number % 2:
                await client.chat.completions.create(model="chat", messages=history, max_tokens=30)  # type: ignore[arg-type]
            else:
                stream = await client.chat.completions.create(
                    model="chat",
                    messages=history,  # type: ignore[arg-type]
                    max_tokens=30,
                    stream=True,
                )
                async for _ in stream:
                    pass

    await asyncio.gather(*(ask(number) for number in range(200)))
    until = time.monotonic() + 10
    while house.metric("joulegate_requests_total", outcome="served") < 200 and time.monotonic() < until:
        await asyncio.sleep(0.05)

    for backend in backends:
        theirs = backend.counters()
        ours = {
            kind: house.metric("joulegate_tokens_total", backend=backend.name, kind=kind)
            for kind in ("uncached_input", "cached_input", "output", "reasoning")
        }
        assert ours["uncached_input"] + ours["cached_input"] == (
            theirs["prompt_tokens_total"] + theirs["prompt_tokens_cached_total"]
        )
        assert ours["output"] + ours["reasoning"] == theirs["tokens_predicted_total"]


async def test_every_figure_of_the_metrics_is_the_sum_of_the_records(house: Gateway) -> None:
    records = house.records(at_least=200)

    usd = sum(record["rated"]["usd_nanos"] for record in records)
    joules = sum(record["attributed"]["energy_mj"] for record in records) / 1_000
    grams = sum(record["attributed"]["carbon_ug"] for record in records) / 1_000_000
    assert len(records) == 200
    assert house.metric("joulegate_cost_usd_total") == pytest.approx(usd / 1e9, rel=1e-12)
    assert house.metric("joulegate_carbon_grams_total") == pytest.approx(grams, rel=1e-12)
    assert house.metric("joulegate_energy_joules_total") == pytest.approx(joules, rel=1e-12)
    assert joules > 0


def test_idle_energy_and_the_overshoot_bound_are_published_from_the_start(house: Gateway) -> None:
    # thrifty and steady have known idle power; swift is an API, whose idle nobody here pays
    assert house.metric("joulegate_backend_idle_energy_joules_total", backend="thrifty") > 0
    assert house.metric("joulegate_backend_idle_energy_joules_total", backend="steady") > 0
    # one request may ask for 16 choices of 8,192 tokens; the dearest rate is $8 a million; 8 + 8 + 8 at once
    assert house.metric("joulegate_budget_overshoot_bound_usd", budget="generous") == pytest.approx(25.165824)

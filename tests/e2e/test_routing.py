"""Three backends that differ in price and speed, behind real sockets: who serves, and who takes over."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import openai
import pytest

from tests.support.gateway import Gateway, Served, gateway, write_config
from tests.support.simulated import Simulated, simulated

# thrifty is cheapest and slowest, swift dearest and fastest, in the same order as their profiles say
SPEEDS = {
    "thrifty": {"ttft_base_ms": 500, "tpot_base_ms": 20},
    "steady": {"ttft_base_ms": 60, "tpot_base_ms": 5},
    "swift": {"ttft_base_ms": 10, "tpot_base_ms": 1},
}
POLICY = """
classes:
  tight: {ttft_ms: 400, tpot_ms: 30, target: 0.99}
  loose: {ttft_ms: 5000, tpot_ms: 500, target: 0.99}
models:
  - {name: chat, members: [MEMBERS], class: tight}
"""


@pytest.fixture
def backends(tmp_path: Path) -> Iterator[dict[str, Simulated]]:
    with ExitStack() as stack:
        yield {name: stack.enter_context(simulated(name, tmp_path, **speed)) for name, speed in SPEEDS.items()}


@pytest.fixture
def house(tmp_path: Path, backends: dict[str, Simulated]) -> Iterator[Gateway]:
    served = [Served(name, backend.url, profile=f"demo/{name}") for name, backend in backends.items()]
    with gateway(write_config(tmp_path / "gateway", served, policy=POLICY)) as running:
        yield running


async def ask(client: openai.AsyncOpenAI, sla_class: str, *, stream: bool = True) -> str:
    """One short chat; which backend served it."""
    messages = [{"role": "user", "content": "Tell me something short."}]
    raw = await client.chat.completions.with_raw_response.create(
        model="chat",
        messages=messages,  # type: ignore[arg-type]
        max_tokens=8,
        stream=stream,
        extra_headers={"x-joulegate-class": sla_class},
    )
    answer = raw.parse()
    if stream:
        async for _ in answer:  # type: ignore[attr-defined]
            pass
    return raw.headers["x-joulegate-backend"]


async def test_the_cheapest_that_meets_the_sla_serves_and_when_it_dies_the_next_takes_over(
    house: Gateway, backends: dict[str, Simulated]
) -> None:
    client = openai.AsyncOpenAI(base_url=house.url, api_key=house.key(), max_retries=0)

    loose = Counter([await ask(client, "loose") for _ in range(6)])
    tight = Counter([await ask(client, "tight") for _ in range(12)])

    # a canary may visit another backend now and then; the rest must go where the rule says
    assert loose["thrifty"] >= 5, loose
    assert tight["steady"] >= 10, tight

    async def one(number: int) -> str:
        if number == 8:
            backends["steady"].die()
        return await ask(client, "tight", stream=False)

    served = [await one(number) for number in range(24)]

    # no request failed (it would have raised); once steady is gone the next cheapest that is fast enough serves
    assert Counter(served[9:])["swift"] >= 12, served


async def test_requests_in_flight_on_a_dying_backend_end_on_another(
    house: Gateway, backends: dict[str, Simulated]
) -> None:
    client = openai.AsyncOpenAI(base_url=house.url, api_key=house.key(), max_retries=0)
    await ask(client, "loose")
    running = [asyncio.create_task(ask(client, "loose", stream=False)) for _ in range(10)]
    await asyncio.sleep(0.15)

    backends["thrifty"].process.kill()
    served = await asyncio.gather(*running)

    assert len(served) == 10
    records = house.records(at_least=11)
    lost = [a for record in records for a in record["attempts"] if a["result"] == "unknown"]
    assert all(attempt["usage"]["basis"] == "unknown" and attempt["rated"]["usd_nanos"] > 0 for attempt in lost)


async def test_a_client_that_leaves_mid_stream_is_charged_and_its_upstream_is_cancelled_within_a_second(
    house: Gateway, backends: dict[str, Simulated]
) -> None:
    client = openai.AsyncOpenAI(base_url=house.url, api_key=house.key(), max_retries=0)
    stream = await client.chat.completions.create(
        model="chat",
        messages=[{"role": "user", "content": "Tell me a very long story."}],
        max_tokens=2_000,
        stream=True,
        extra_headers={"x-joulegate-class": "loose"},
    )
    seen = 0
    async for _ in stream:
        seen += 1
        if seen == 5:
            break
    await stream.close()

    deadline = asyncio.get_running_loop().time() + 1.0
    while backends["thrifty"].counters()["requests_cancelled_total"] == 0:
        assert asyncio.get_running_loop().time() < deadline, "the upstream still works for a client that left"
        await asyncio.sleep(0.02)

    (record,) = house.records(at_least=1)
    assert record["outcome"] == "client_left"
    assert record["usage"]["basis"] == "counted"
    assert 2 <= record["usage"]["output_tokens"] <= 40
    assert record["rated"]["usd_nanos"] > 0
    assert record["attempts"][0]["ledger"] == "settled"

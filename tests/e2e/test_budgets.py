"""One budget, two gateway processes, 200 requests at once: never overspent, and the books agree to the nano-dollar."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path

import openai
import pytest

from tests.support.gateway import Gateway, Served, gateway, joulegate, write_config
from tests.support.simulated import simulated
from tests.support.valkey import valkey

LIMIT_USD = Decimal("0.004")
POLICY = f"""
models:
  - {{name: chat, members: [MEMBERS]}}
budgets:
  - {{name: team-day, scope: {{team: support}}, limit_usd: "{LIMIT_USD}", window: day, zone: Australia/Sydney}}
"""
REQUESTS = 200


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Gateway, Gateway]]:
    with ExitStack() as stack:
        redis = stack.enter_context(valkey(tmp_path))
        backend = stack.enter_context(simulated("swift", tmp_path, ttft_base_ms=20, tpot_base_ms=1, concurrent_max=512))
        served = [Served("swift", backend.url, profile="demo/swift")]
        configs = [write_config(tmp_path / name, served, policy=POLICY, redis=redis) for name in ("one", "two")]
        first, second = (stack.enter_context(gateway(config)) for config in configs)
        yield first, second


async def test_two_gateways_never_overspend_one_budget_and_counters_equal_the_records(
    pair: tuple[Gateway, Gateway],
) -> None:
    key = pair[0].key()
    clients = [openai.AsyncOpenAI(base_url=house.url, api_key=key, max_retries=0) for house in pair]

    async def ask(number: int) -> str:
        try:
            # about 20 input tokens at $2 and at most 20 output tokens at $8 a million: $0.0002 a request
            await clients[number % 2].chat.completions.create(
                model="chat", messages=[{"role": "user", "content": f"Request {number}: hello there."}], max_tokens=20
            )
        except openai.APIStatusError as refused:
            assert refused.status_code == 402
            assert refused.response.headers["x-should-retry"] == "false"
            assert refused.body["param"] == "team-day"  # type: ignore[index]
            return "refused"
        return "served"

    outcomes = await asyncio.gather(*(ask(number) for number in range(REQUESTS)))
    served = outcomes.count("served")

    records = all_records(pair, REQUESTS)
    spent = sum(record["rated"]["usd_nanos"] for record in records if record["rated"])
    status = budget(pair[0])
    assert 0 < served < REQUESTS
    assert len(records) == REQUESTS
    assert spent <= int(LIMIT_USD * 10**9)
    assert Decimal(status["spent"]) * 10**9 == spent
    assert Decimal(status["held"]) == 0
    assert {record["outcome"] for record in records} == {"served", "budget_denied"}
    # the last refusals left less than one more request would have held
    assert int(LIMIT_USD * 10**9) - spent < 400_000


def budget(house: Gateway) -> dict[str, str]:
    """The budget as `joulegate budgets list` shows it, once nothing is held any more."""
    until = time.monotonic() + 10
    while True:
        (row,) = json.loads(joulegate("budgets", "list", "--config", str(house.config), "--json"))
        if Decimal(row["held"]) == 0 or time.monotonic() > until:
            return dict(row)
        time.sleep(0.1)


def all_records(pair: tuple[Gateway, Gateway], count: int) -> list[dict]:  # type: ignore[type-arg]
    until = time.monotonic() + 10
    while len(records := [r for house in pair for r in house.records()]) < count and time.monotonic() < until:
        time.sleep(0.05)
    return records

"""The main job on real input: the official SDK, the gateway, and a llama.cpp server that we did not write."""

from __future__ import annotations

import time
from collections.abc import Iterator
from decimal import Decimal

import openai
import pytest

from tests.support.gateway import Gateway, Served, gateway, write_config
from tests.support.llama import MODEL, Llama, llama_server

pytestmark = [pytest.mark.real_model, pytest.mark.slow]


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Llama]:
    with llama_server(tmp_path_factory.mktemp("llama") / "llama.log") as server:
        yield server


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, llama: Llama) -> Iterator[Gateway]:
    config = write_config(tmp_path_factory.mktemp("gateway"), [Served("llama", llama.url, upstream=MODEL)])
    with gateway(config) as served:
        yield served


@pytest.fixture(scope="module")
def client(house: Gateway) -> openai.OpenAI:
    return openai.OpenAI(base_url=house.url, api_key=house.key())


def ask(client: openai.OpenAI, text: str, **options: object) -> openai.types.chat.ChatCompletion:
    return client.chat.completions.create(  # type: ignore[call-overload,no-any-return]
        model="chat", messages=[{"role": "user", "content": text}], max_tokens=8, temperature=0, **options
    )


def test_an_answer_carries_its_price_in_dollars_joules_and_grams(client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model="chat", messages=[{"role": "user", "content": "Say hello."}], max_tokens=8
    )
    answer = raw.parse()

    assert answer.choices[0].message.content
    assert Decimal(raw.headers["x-joulegate-cost-usd"]) > 0
    assert Decimal(raw.headers["x-joulegate-energy-joules"]) > 0
    assert Decimal(raw.headers["x-joulegate-carbon-grams"]) > 0
    assert raw.headers["x-joulegate-backend"] == "llama"
    assert answer.usage is not None
    extra = answer.usage.model_extra or {}
    assert extra["cost"] == pytest.approx(float(raw.headers["x-joulegate-cost-usd"]))
    assert extra["joulegate"]["energy_joules"] == pytest.approx(float(raw.headers["x-joulegate-energy-joules"]))


def test_a_stream_arrives_whole_and_ends_with_its_price_for_a_caller_that_asks_for_usage(client: openai.OpenAI) -> None:
    chunks = list(ask(client, "Count to three.", stream=True, stream_options={"include_usage": True}))

    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    usage = chunks[-1].usage
    assert text
    assert usage.completion_tokens > 0
    assert usage.model_extra["cost"] > 0
    assert usage.model_extra["joulegate"]["backend"] == "llama"


def test_a_caller_that_did_not_ask_for_usage_gets_none_and_finds_it_by_request_id(
    client: openai.OpenAI, house: Gateway
) -> None:
    with client.chat.completions.with_streaming_response.create(
        model="chat", messages=[{"role": "user", "content": "Name a colour."}], max_tokens=8, stream=True
    ) as answer:
        request_id = answer.headers["x-request-id"]
        assert Decimal(answer.headers["x-joulegate-estimated-cost-usd"]) > 0
        body = answer.read().decode()

    assert '"usage"' not in body
    assert body.rstrip().endswith("data: [DONE]")
    found = client.get(f"/usage/{request_id}", cast_to=dict)
    assert found["usage"]["completion_tokens"] > 0
    assert found["usage"]["cost"] > 0


def test_our_token_counters_equal_the_servers_own_over_a_run(
    client: openai.OpenAI, house: Gateway, llama: Llama
) -> None:
    settled(house)
    before, ours_before = llama.counters(), our_tokens(house)
    for turn in range(6):
        if turn % 2:
            ask(client, f"Turn {turn}: say one word.")
        else:
            list(ask(client, f"Turn {turn}: say one word.", stream=True))
    settled(house)
    after, ours_after = llama.counters(), our_tokens(house)

    ours = {kind: ours_after[kind] - ours_before[kind] for kind in ours_after}
    served_prompt = sum(after[n] - before[n] for n in ("prompt_tokens_total", "prompt_tokens_cached_total"))
    served_output = after["tokens_predicted_total"] - before["tokens_predicted_total"]
    assert ours["uncached_input"] + ours["cached_input"] == served_prompt
    assert ours["output"] == served_output


def test_completions_and_models_work_through_the_sdk(client: openai.OpenAI) -> None:
    done = client.completions.create(model="chat", prompt="Once upon a time", max_tokens=4)

    assert done.choices[0].text
    assert [model.id for model in client.models.list()] == ["chat"]


def test_the_upstreams_own_4xx_passes_verbatim(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="chat", messages=[{"role": "user", "content": "word " * 6_000}])

    assert caught.value.response.headers["x-joulegate-error-source"] == "upstream"


def our_tokens(house: Gateway) -> dict[str, float]:
    kinds = ("uncached_input", "cached_input", "output", "reasoning")
    return {kind: house.metric("joulegate_tokens_total", kind=kind) for kind in kinds}


def settled(house: Gateway, seconds: float = 10.0) -> None:
    """Until every request sent so far is in the metrics: a record is closed just after its answer."""
    until, seen = time.monotonic() + seconds, -1.0
    while (now := house.metric("joulegate_requests_total")) != seen and time.monotonic() < until:
        seen = now
        time.sleep(0.3)

"""Every surface through the official SDK, and fields the gateway knows nothing of."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import openai
import pytest

from tests.support.gateway import Gateway, Served, gateway, write_config
from tests.support.simulated import Simulated, simulated

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
HELLO = [{"role": "user", "content": "Hello there."}]


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulated]:
    with simulated("steady", tmp_path_factory.mktemp("backend"), ttft_base_ms=5, tpot_base_ms=1) as running:
        yield running


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, backend: Simulated) -> Iterator[Gateway]:
    with gateway(write_config(tmp_path_factory.mktemp("gateway"), [Served("steady", backend.url)])) as running:
        yield running


@pytest.fixture(scope="module")
def client(house: Gateway) -> openai.OpenAI:
    return openai.OpenAI(base_url=house.url, api_key=house.key(), max_retries=0)


def test_embeddings_are_priced_and_have_no_output(client: openai.OpenAI) -> None:
    raw = client.embeddings.with_raw_response.create(model="chat", input=["one text", "another text"])

    answer = raw.parse()
    assert len(answer.data) == 2
    assert answer.usage.prompt_tokens > 0
    assert Decimal(raw.headers["x-joulegate-cost-usd"]) >= 0
    assert "x-joulegate-energy-joules" in raw.headers


def test_a_streamed_completion_arrives_and_is_priced(client: openai.OpenAI) -> None:
    chunks = list(
        client.completions.create(
            model="chat", prompt="Once upon a time", max_tokens=5, stream=True, stream_options={"include_usage": True}
        )
    )

    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 5
    assert (chunks[-1].usage.model_extra or {})["cost"] > 0


def test_tools_go_up_and_their_calls_come_down(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="chat", messages=HELLO, tools=[TOOL], tool_choice="required")  # type: ignore[arg-type,call-overload]

    assert answer.choices[0].message.tool_calls[0].function.name == "get_weather"


def test_json_mode_is_passed_on(client: openai.OpenAI) -> None:
    import json

    answer = client.chat.completions.create(
        model="chat",
        messages=HELLO,  # type: ignore[arg-type]
        response_format={"type": "json_object"},
    )

    assert isinstance(json.loads(answer.choices[0].message.content or ""), dict)


def test_fields_nobody_knows_travel_and_answers_keep_theirs(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="chat",
        messages=HELLO,  # type: ignore[arg-type]
        max_tokens=3,
        extra_body={"a_field_of_tomorrow": {"deep": [1, 2, 3]}},
    )

    assert answer.system_fingerprint == "simulated"


def test_usage_in_headers_only_leaves_the_body_as_the_backend_sent_it(client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model="chat",
        messages=HELLO,  # type: ignore[arg-type]
        max_tokens=3,
        extra_headers={"x-joulegate-usage": "headers"},
    )

    assert Decimal(raw.headers["x-joulegate-cost-usd"]) > 0
    assert "joulegate" not in (raw.parse().usage.model_extra or {})  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("style", "basis"),
    [("none", "counted"), ("finish_chunk", "provider"), ("null_fields", "provider"), ("hostile", "counted")],
)
def test_however_a_backend_reports_usage_the_stream_arrives_and_the_record_says_how_it_knows(
    client: openai.OpenAI, house: Gateway, backend: Simulated, style: str, basis: str
) -> None:
    backend.control(usage=style)
    try:
        with client.chat.completions.with_streaming_response.create(
            model="chat",
            messages=HELLO,  # type: ignore[arg-type]
            max_tokens=6,
            stream=True,
        ) as answer:
            request_id, body = answer.headers["x-request-id"], answer.read()
    finally:
        backend.control()

    found = client.get(f"/usage/{request_id}", cast_to=dict)
    assert body.endswith(b"data: [DONE]\n\n")
    assert found["basis"] == basis
    assert found["usage"]["completion_tokens"] == 6


def test_a_key_that_asks_for_it_finds_the_price_of_a_stream_in_a_comment(house: Gateway) -> None:
    client = openai.OpenAI(base_url=house.url, api_key=house.key(flags=("--usage-comment",)), max_retries=0)

    with client.chat.completions.with_streaming_response.create(
        model="chat",
        messages=HELLO,  # type: ignore[arg-type]
        max_tokens=3,
        stream=True,
    ) as answer:
        events = answer.read().split(b"\n\n")

    assert events[-3].startswith(b': joulegate {"backend":"steady","cost_usd":')
    assert events[-2] == b"data: [DONE]"


def test_a_key_sees_its_own_limits(client: openai.OpenAI) -> None:
    mine = client.get("/key", cast_to=dict)

    assert mine["team"] == "support"
    assert mine["models"] == ["chat"]

"""The official openai SDK against the data port: what people put in front of it, and how it takes our refusals."""

from __future__ import annotations

import json

import openai
import pytest

from gateway.domain.refusal import Refusal, RefusalCode
from gateway.pipeline.incoming import Incoming
from gateway.ports.reply import Reply
from tests.server.house import KEY, Port, a_port

JSON = [("content-type", "application/json")]
COMPLETION = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "chat",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hello."}}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
}
HI: list[openai.types.chat.ChatCompletionMessageParam] = [{"role": "user", "content": "Hi"}]


def a_client(port: Port) -> openai.AsyncOpenAI:
    """A client as a user makes it, but deaf to proxies of this machine."""
    plain = openai.DefaultAsyncHttpx2Client(trust_env=False)
    return openai.AsyncOpenAI(base_url=f"{port.url}/v1", api_key=KEY.decode(), http_client=plain)


def refusing(port: Port, refusal: Refusal) -> None:
    async def refuse(incoming: Incoming, reply: Reply) -> None:
        await incoming.read_body()
        await reply.refuse(refusal, [])

    port.pipeline.serving = refuse


async def test_a_whole_answer_with_its_headers() -> None:
    async with a_port() as port, a_client(port) as client:

        async def answer(incoming: Incoming, reply: Reply) -> None:
            await incoming.read_body()
            await reply.send(200, [*JSON, ("x-joulegate-cost-usd", "0.0000125")], json.dumps(COMPLETION).encode())

        port.pipeline.serving = answer
        raw = await client.chat.completions.with_raw_response.create(
            model="chat", messages=HI, extra_headers={"x-joulegate-session": "chat-7"}
        )

        assert raw.parse().choices[0].message.content == "Hello."
        assert raw.headers["x-joulegate-cost-usd"] == "0.0000125"
        assert port.pipeline.seen[0].caller.session == "chat-7"


async def test_a_stream() -> None:
    async with a_port() as port, a_client(port) as client:

        async def answer(incoming: Incoming, reply: Reply) -> None:
            await incoming.read_body()
            await reply.begin(200, [("content-type", "text/event-stream")])
            for word in ("Hel", "lo."):
                chunk = COMPLETION | {
                    "object": "chat.completion.chunk",
                    "choices": [{"index": 0, "delta": {"content": word}, "finish_reason": None}],
                    "usage": None,
                }
                await reply.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
            await reply.write(b"data: [DONE]\n\n")
            await reply.end()

        port.pipeline.serving = answer
        stream = await client.chat.completions.create(model="chat", messages=HI, stream=True)

        assert [chunk.choices[0].delta.content async for chunk in stream] == ["Hel", "lo."]


async def test_models_are_listed() -> None:
    async with a_port() as port, a_client(port) as client:
        assert [model.id async for model in client.models.list()] == ["chat"]
        assert (await client.models.retrieve("chat")).id == "chat"
        with pytest.raises(openai.NotFoundError):
            await client.models.retrieve("secret")


async def test_a_spent_budget_is_asked_once_and_named() -> None:
    async with a_port() as port, a_client(port) as client:
        refusing(port, Refusal(RefusalCode.BUDGET_EXHAUSTED, "Spent.", param="support-month"))

        with pytest.raises(openai.APIStatusError) as refused:
            await client.chat.completions.create(model="chat", messages=HI)

        assert refused.value.status_code == 402
        assert refused.value.code == "budget_exhausted"
        assert refused.value.param == "support-month"
        assert refused.value.type == "insufficient_quota"
        assert len(port.pipeline.seen) == 1


async def test_a_spent_budget_as_429_is_asked_once_too() -> None:
    async with a_port() as port, a_client(port) as client:
        refusing(port, Refusal(RefusalCode.BUDGET_EXHAUSTED, "Spent.", budget_status=429))

        with pytest.raises(openai.RateLimitError):
            await client.chat.completions.create(model="chat", messages=HI)

        assert len(port.pipeline.seen) == 1


async def test_a_503_that_waiting_can_not_help_is_asked_once() -> None:
    async with a_port() as port, a_client(port) as client:
        refusing(port, Refusal(RefusalCode.NO_BACKEND, "Nobody serves this."))

        with pytest.raises(openai.InternalServerError):
            await client.chat.completions.create(model="chat", messages=HI)

        assert len(port.pipeline.seen) == 1


async def test_a_rate_limit_is_retried_after_the_time_it_names_and_the_retry_is_counted() -> None:
    async with a_port() as port, a_client(port) as client:

        async def once(incoming: Incoming, reply: Reply) -> None:
            await incoming.read_body()
            if len(port.pipeline.seen) == 1:
                await reply.refuse(Refusal(RefusalCode.RATE_LIMIT_EXCEEDED, "Slow down.", retry_after_s=0.5), [])
            else:
                await reply.send(200, JSON, json.dumps(COMPLETION).encode())

        port.pipeline.serving = once
        await client.chat.completions.create(model="chat", messages=HI)

        assert [incoming.caller.sdk_retry for incoming in port.pipeline.seen] == [0, 1]


async def test_a_wrong_key_is_an_authentication_error() -> None:
    async with a_port() as port:
        client = openai.AsyncOpenAI(
            base_url=f"{port.url}/v1", api_key="jg-wrong", http_client=openai.DefaultAsyncHttpx2Client(trust_env=False)
        )
        async with client:
            with pytest.raises(openai.AuthenticationError) as refused:
                await client.chat.completions.create(model="chat", messages=HI)

        assert refused.value.code == "invalid_api_key"

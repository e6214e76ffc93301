from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from gateway.backends.simulated import SimulatedServer, SimulatedSettings
from gateway.backends.simulated.speech import WORDS
from gateway.dialects import openai
from gateway.domain.bill import Bill
from gateway.domain.call import CallKind
from gateway.feeds.tokens import reference_tokenizer
from gateway.ports import Count

PROMPT = [{"role": "user", "content": "three word prompt"}]


class WordCounter:
    """Counts words; fast, and easy to check by hand."""

    def count(self, texts: Sequence[str], encoding: str) -> Count:
        return Count(sum(len(text.split()) for text in texts), exact=True)


class StoppedClock:
    def monotonic(self) -> float:
        return 0.0

    def wall_ms(self) -> int:
        return 1_700_000_000_000


class Client:
    def __init__(self, session: aiohttp.ClientSession, port: int) -> None:
        self._session = session
        self._base = f"http://127.0.0.1:{port}"

    async def post(self, path: str, body: dict[str, Any]) -> tuple[int, bytes]:
        async with self._session.post(self._base + path, json=body) as response:
            assert response.headers["x-joulegate-simulated"] == "1"
            return response.status, await response.read()

    async def get(self, path: str) -> bytes:
        async with self._session.get(self._base + path) as response:
            return await response.read()

    async def chat(self, **fields: Any) -> dict[str, Any]:
        status, body = await self.post("/v1/chat/completions", {"model": "m", "messages": PROMPT, **fields})
        assert status == 200
        return dict(json.loads(body))

    async def stream(self, **fields: Any) -> bytes:
        return (await self.post("/v1/chat/completions", {"model": "m", "messages": PROMPT, "stream": True, **fields}))[
            1
        ]


@asynccontextmanager
async def a_server(**settings: Any) -> AsyncIterator[tuple[SimulatedServer, Client]]:
    usual = {"ttft_base_ms": 0.0, "ttft_per_1k_input_ms": 0.0, "tpot_base_ms": 0.0, "tpot_per_active_ms": 0.0}
    simulated = SimulatedSettings(**{**usual, "controls": True, **settings})
    server = SimulatedServer(simulated, counter=WordCounter(), clock=StoppedClock())
    port = await server.start()
    try:
        async with aiohttp.ClientSession() as session:
            yield server, Client(session, port)
    finally:
        await server.stop()


def test_every_word_is_one_token_at_the_start_and_after_a_space():
    count = reference_tokenizer().load("o200k_base")

    assert [word for word in WORDS if count(word) != 1 or count(" " + word) != 1] == []


async def test_an_answer_says_that_it_is_simulated_and_what_it_used():
    async with a_server() as (_, client):
        answer = await client.chat(max_tokens=3)
        models = json.loads(await client.get("/v1/models"))

    assert answer["system_fingerprint"] == "simulated"
    assert models["data"][0]["owned_by"] == "joulegate-simulated"
    assert answer["usage"] == {
        "prompt_tokens": 3 + 3 + 1 + 3,  # words, a message, its role, the reply's priming
        "completion_tokens": 3,
        "total_tokens": 13,
        "prompt_tokens_details": {"cached_tokens": 0},
    }
    assert len(answer["choices"][0]["message"]["content"].split()) == 3
    assert answer["choices"][0]["finish_reason"] == "length"


async def test_the_same_seed_and_request_get_the_same_answer():
    async with a_server(seed=5) as (_, one), a_server(seed=5) as (_, same), a_server(seed=6) as (_, other):
        answers = [(await client.chat(n=2))["choices"] for client in (one, same, other)]

    assert answers[0] == answers[1] != answers[2]
    assert answers[0][0]["message"] != answers[0][1]["message"]


async def test_a_stream_says_what_the_json_answer_says():
    async with a_server() as (_, client):
        whole = await client.chat(n=2, max_tokens=5)
        stream = await client.stream(n=2, max_tokens=5, stream_options={"include_usage": True})
    reader = openai.StreamReader(CallKind.CHAT, wants_usage=True, bill=lambda _: Bill(), keep_bytes=1 << 20)
    reader.feed(stream)

    assert reader.output_texts() == tuple(choice["message"]["content"] for choice in whole["choices"])
    assert reader.usage is not None
    assert reader.usage.output_tokens == whole["usage"]["completion_tokens"] == 10
    assert reader.complete


async def test_what_a_conversation_repeats_is_found_in_the_cache():
    history = [{"role": "user", "content": "w " * 60}]
    async with a_server() as (server, client):
        await client.chat(messages=history)
        again = await client.chat(messages=[*history, {"role": "user", "content": "more"}])

    assert again["usage"]["prompt_tokens_details"]["cached_tokens"] == 64  # 60 + 4, in blocks of 16
    assert server.books.prompt_tokens_cached_total == 64


async def test_its_books_agree_with_the_usage_it_reported():
    asked = ({}, {"n": 2}, {"max_tokens": 2}, {"response_format": {"type": "json_object"}})
    async with a_server(output_tokens=10) as (_, client):
        used = [(await client.chat(**fields))["usage"] for fields in asked]
        for fields in asked:
            await client.stream(**fields)
        metrics = (await client.get("/metrics")).decode()

    books = dict(line.split() for line in metrics.splitlines() if not line.startswith("#"))
    assert int(books["simulated_tokens_predicted_total"]) == 2 * sum(usage["completion_tokens"] for usage in used)
    prompt = int(books["simulated_prompt_tokens_total"]) + int(books["simulated_prompt_tokens_cached_total"])
    assert prompt == 2 * sum(usage["prompt_tokens"] for usage in used)
    assert books["simulated_requests_processing"] == "0"


async def test_a_required_tool_is_called_with_arguments_of_its_schema():
    schema = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}}
    tools = [{"type": "function", "function": {"name": "weather", "parameters": schema}}]
    async with a_server() as (_, client):
        choice = (await client.chat(tools=tools, tool_choice="required"))["choices"][0]
        stream = await client.stream(tools=tools, tool_choice={"type": "function", "function": {"name": "weather"}})

    call = choice["message"]["tool_calls"][0]["function"]
    assert choice["finish_reason"] == "tool_calls"
    assert call["name"] == "weather"
    assert json.loads(call["arguments"]).keys() == {"city", "days"}
    assert stream.count(b'"name":"weather"') == 1


async def test_json_mode_gives_valid_json_and_a_stop_sequence_stops():
    async with a_server() as (_, client):
        said = (await client.chat(response_format={"type": "json_object"}))["choices"][0]["message"]["content"]
        stopped = (await client.chat(stop=[" "], ignore_eos=True, max_tokens=50))["choices"][0]

    assert json.loads(said)["simulated"] is True
    assert " " not in stopped["message"]["content"]
    assert stopped["finish_reason"] == "stop"


async def test_embeddings_come_as_floats_or_packed_as_the_sdk_asks():
    async with a_server() as (_, client):
        plain = json.loads((await client.post("/v1/embeddings", {"model": "m", "input": ["a", "b c"]}))[1])
        packed = await client.post(
            "/v1/embeddings", {"model": "m", "input": "a", "dimensions": 2, "encoding_format": "base64"}
        )

    assert [len(item["embedding"]) for item in plain["data"]] == [64, 64]
    assert plain["usage"] == {"prompt_tokens": 3, "total_tokens": 3}
    assert len(json.loads(packed[1])["data"][0]["embedding"]) == 12  # 8 bytes in base64


async def test_a_full_queue_is_an_honest_503():
    async with a_server(concurrent_max=1, queue_max=0, ttft_base_ms=300.0) as (_, client):
        first = asyncio.create_task(client.chat())
        await asyncio.sleep(0.1)
        status, body = await client.post("/v1/chat/completions", {"model": "m", "messages": PROMPT})
        await first

    assert status == 503
    assert json.loads(body)["error"]["code"] == "overloaded"


async def test_it_fails_on_command_and_forgives_on_command():
    async with a_server() as (_, client):
        await client.post("/simulate", {"fail_rate": 1.0, "status": 500})
        failed, _ = await client.post("/v1/chat/completions", {"model": "m", "messages": PROMPT})
        await client.post("/simulate", {})
        served = await client.chat()

    assert failed == 500
    assert served["choices"]


async def test_it_dies_in_the_middle_on_command():
    async with a_server() as (_, client):
        await client.post("/simulate", {"die_after_bytes": 200})

        with pytest.raises(aiohttp.ClientError):
            await client.stream()
        with pytest.raises(aiohttp.ClientError):
            await client.chat()


@pytest.mark.parametrize(
    ("style", "null_fields", "usage_objects"),
    [("normal", 0, 0), ("none", 0, 0), ("finish_chunk", 0, 1), ("null_fields", 4, 0), ("hostile", 0, 0)],
)
async def test_usage_comes_in_the_style_commanded(style, null_fields, usage_objects):
    async with a_server() as (_, client):
        await client.post("/simulate", {"usage": style})
        stream = await client.stream(max_tokens=2, ignore_eos=True)

    assert stream.count(b'"usage":null') == null_fields
    assert stream.count(b'"usage":{') == usage_objects


async def test_a_hanging_server_answers_when_it_is_released():
    async with a_server() as (_, client):
        await client.post("/simulate", {"hang": True})
        waiting = asyncio.create_task(client.chat())
        await asyncio.sleep(0.05)
        assert not waiting.done()
        await client.post("/simulate", {"hang": False})

        assert (await waiting)["choices"]


@pytest.mark.parametrize("command", [{"slowdown": 0}, {"fail_rate": 2}, {"unknown": 1}, {"status": 200}])
async def test_a_command_that_makes_no_sense_is_refused(command):
    async with a_server() as (_, client):
        assert (await client.post("/simulate", command))[0] == 400


async def test_without_controls_there_is_nothing_to_command():
    async with a_server(controls=False) as (_, client):
        assert (await client.post("/simulate", {"hang": True}))[0] == 404


async def test_a_client_that_leaves_is_noticed():
    async with a_server(tpot_base_ms=20.0, output_tokens=500) as (server, client):
        task = asyncio.create_task(client.stream())
        await asyncio.sleep(0.15)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        async with asyncio.timeout(1):
            while server.books.requests_cancelled_total == 0:
                await asyncio.sleep(0.01)

    assert 0 < server.books.tokens_predicted_total < 100


async def test_what_is_malformed_is_refused_as_openai_would():
    async with a_server(models=("only",)) as (_, client):
        status, body = await client.post("/v1/chat/completions", {"model": "other", "messages": PROMPT})
        broken, _ = await client.post("/v1/chat/completions", {"model": "only", "messages": []})

    assert (status, json.loads(body)["error"]["code"]) == (404, "model_not_found")
    assert broken == 400


def test_as_a_process_it_says_its_port_and_ends_on_sigterm():
    command = [sys.executable, "-m", "gateway.bootstrap.simulate", "--name", "cheap", "--output-tokens", "5"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        assert ready["name"] == "cheap"
        assert ready["pid"] == process.pid
        assert ready["port"] > 0
        process.send_signal(signal.SIGTERM)

        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="the death signal of a parent is Linux's")
def test_it_dies_with_its_parent():
    launcher = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-m', 'gateway.bootstrap.simulate'], stdout=subprocess.PIPE)\n"
        "print(child.stdout.readline().decode(), flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", launcher], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert parent.stdout is not None
    child_pid = json.loads(parent.stdout.readline())["pid"]
    child = os.pidfd_open(child_pid)

    parent.kill()
    parent.wait()

    try:
        poll = select.poll()
        poll.register(child, select.POLLIN)
        assert poll.poll(10_000)  # readable once the process has ended
    finally:
        os.close(child)

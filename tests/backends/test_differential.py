"""Ours against aiohttp's client, on the same hostile backends: never a whole answer where it saw an error."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_parser import HttpResponseParser
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.backends.reading import AnswerReader, BadAnswer
from gateway.domain.faults import BackendFailed
from tests.backends.asking import an_upstream, whole
from tests.backends.hostile import LENGTH, OK, REFUSED_BY_ALL, REFUSED_BY_US
from tests.backends.raw_server import a_raw_server, says

HOSTILE = REFUSED_BY_ALL | REFUSED_BY_US
HONEST = {
    "a length": LENGTH + b"\r\n{}",
    "chunks": OK + b"transfer-encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n",
    "ended by close": OK + b"\r\n{}",
    "an interim answer first": b"HTTP/1.1 100 Continue\r\n\r\n" + LENGTH + b"\r\n{}",
    "no reason phrase": b"HTTP/1.1 200\r\ncontent-length: 2\r\n\r\n{}",
    "an empty header": LENGTH + b"x-a:\r\n\r\n{}",
    "no content": b"HTTP/1.1 204 No Content\r\n\r\n",
}

SPLINTERS = [
    *(
        b"\r\n",
        b"\n",
        b"\r",
        b" ",
        b"\t",
        b"\0",
        b"\x7f",
        b"\xff",
        b":",
        b",",
        b";",
        b"+",
        b"-",
        b"0",
        b"2",
        b"chunked",
    ),
    *(b"content-length: 2\r\n", b"transfer-encoding: chunked\r\n", b"connection: close\r\n", b"HTTP/1.1 200 OK\r\n"),
]
SEEDS = sorted(answer for answer in (HONEST | HOSTILE).values() if len(answer) < 2_000)
# Where, how many bytes go, and what comes in their place.
WOUND = st.tuples(st.integers(0, 200), st.integers(0, 4), st.sampled_from([b"", *SPLINTERS]) | st.binary(max_size=2))


async def by_aiohttp(url: str) -> bytes | None:
    try:
        async with (
            aiohttp.ClientSession(auto_decompress=False) as session,
            session.post(url, data=b"{}", allow_redirects=False) as answer,
        ):
            return await answer.read()
    except (aiohttp.ClientError, ConnectionError):
        return None


async def by_us(url: str) -> bytes | None:
    async with an_upstream(url) as up:
        try:
            return await whole(up)
        except BackendFailed:
            return None


async def both(answer: bytes) -> tuple[bytes | None, bytes | None]:
    async with a_raw_server(says(answer)) as raw:
        ours, theirs = await asyncio.gather(by_us(raw.url), by_aiohttp(raw.url))
        return ours, theirs


@pytest.mark.parametrize("answer", HONEST.values(), ids=HONEST)
async def test_an_honest_answer_is_read_alike(answer):
    ours, theirs = await both(answer)

    assert ours is not None
    assert ours == theirs


@pytest.mark.parametrize("answer", HOSTILE.values(), ids=HOSTILE)
async def test_a_hostile_answer_is_never_taken_for_a_whole_one(answer):
    ours, _ = await both(answer)

    assert ours is None


@pytest.mark.parametrize("answer", REFUSED_BY_ALL.values(), ids=REFUSED_BY_ALL)
async def test_the_corpus_is_hostile_to_others_too(answer):
    """Or it would prove nothing about being at least as strict."""
    _, theirs = await both(answer)

    assert theirs is None


def wounded(answer: bytes, wounds: list[tuple[int, int, bytes]]) -> bytes:
    for place, gone, come in wounds:
        answer = answer[:place] + come + answer[place + gone :]
    return answer


def read_by_aiohttp(answer: bytes, loop: asyncio.AbstractEventLoop) -> bytes | None:
    """The body, if its parser takes what came and the close for a whole answer."""
    parser = HttpResponseParser(BaseProtocol(loop), loop, 1 << 16, read_until_eof=True, auto_decompress=False)
    try:
        messages = [message for message in parser.feed_data(answer)[0] if message[0].code >= 200]
        if messages and not messages[0][1].is_eof():
            parser.feed_eof()
    except (aiohttp.http_exceptions.HttpProcessingError, aiohttp.ClientError):
        return None
    if not messages or not messages[0][1].is_eof() or messages[0][1].exception() is not None:
        return None
    return messages[0][1].read_nowait()


def read_by_us(answer: bytes) -> bytes | None:
    reader = AnswerReader()
    reader.begin()
    try:
        reader.feed(answer)
    except BadAnswer:
        return None
    return b"".join(reader.pieces) if reader.end() else None


@settings(max_examples=400)
@given(st.sampled_from(SEEDS), st.lists(WOUND, max_size=3))
@example(LENGTH + b"\r\n{}", [])
def test_what_we_take_for_whole_is_read_alike_by_aiohttp(answer, wounds):
    broken = wounded(answer, wounds)
    loop = asyncio.new_event_loop()
    try:
        ours, theirs = read_by_us(broken), read_by_aiohttp(broken, loop)
    finally:
        loop.close()

    assert ours is None or ours == theirs

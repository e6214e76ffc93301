"""Ours against aiohttp's client, on the same hostile backends: never a whole answer where it saw an error."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

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

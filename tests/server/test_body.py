from __future__ import annotations

import asyncio
import gzip
import json

import pytest

from gateway.domain.catalog import Limits
from gateway.server import body as body_module
from gateway.server import listener as listener_module
from tests.server.house import a_port, body_of, post, read_answer, status_of

SMALL = Limits(body_bytes=1_000)


def code_of(answer: bytes) -> object:
    return json.loads(body_of(answer))["error"]["code"]


def chunked(*chunks: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in (*chunks, b""))


async def test_a_body_of_the_greatest_size_is_taken_and_one_byte_more_is_not() -> None:
    async with a_port(limits=SMALL) as port:
        assert status_of(await port.send(post(b"a" * 1_000))) == 200
        answer = await port.send(post(b"a" * 1_001))

        assert status_of(answer) == 413
        assert code_of(answer) == "request_too_large"


async def test_a_length_that_is_too_large_is_refused_without_waiting_for_the_body() -> None:
    async with a_port(limits=SMALL) as port:
        answer = await port.send(post(b"", framing=b"Content-Length: 999999999"))

        assert status_of(answer) == 413


async def test_chunks_that_add_up_to_too_much_are_refused() -> None:
    async with a_port(limits=SMALL) as port:
        raw = post(chunked(b"a" * 600, b"a" * 600), framing=b"Transfer-Encoding: chunked")

        assert status_of(await port.send(raw)) == 413


async def test_chunks_are_joined() -> None:
    async with a_port() as port:
        await port.send(post(chunked(b"abc", b"de", b"f"), framing=b"Transfer-Encoding: chunked"))

        assert port.pipeline.bodies == [b"abcdef"]


async def test_a_body_that_comes_in_pieces_is_read_whole() -> None:
    async with a_port() as port:
        raw = post(b"abcdef", headers=(("Connection", "close"),))

        answer = await port.send_slowly([raw[:-4], raw[-4:-1], raw[-1:]])

        assert status_of(answer) == 200
        assert port.pipeline.bodies == [b"abcdef"]


async def test_a_large_body_passes_through_small_buffers() -> None:
    async with a_port() as port:
        answer = await port.send(post(b"a" * 3_000_000))

        assert body_of(answer) == b'{"bytes": 3000000}'


async def test_gzip_is_unpacked() -> None:
    async with a_port() as port:
        await port.send(post(gzip.compress(b"hello" * 100), headers=(("Content-Encoding", "gzip"),)))

        assert port.pipeline.bodies == [b"hello" * 100]


async def test_a_gzip_bomb_is_stopped_at_the_limit() -> None:
    async with a_port(limits=SMALL) as port:
        bomb = gzip.compress(b"\0" * 500_000)
        assert len(bomb) < 1_000

        answer = await port.send(post(bomb, headers=(("Content-Encoding", "gzip"),)))

        assert status_of(answer) == 413


@pytest.mark.parametrize("packed", [b"not gzip", gzip.compress(b"x")[:-1], gzip.compress(b"x") + b"more"])
async def test_what_is_not_one_whole_gzip_member_is_refused(packed: bytes) -> None:
    async with a_port() as port:
        answer = await port.send(post(packed, headers=(("Content-Encoding", "gzip"),)))

        assert status_of(answer) == 400
        assert code_of(answer) == "invalid_gzip"


@pytest.mark.parametrize("encoding", ["br", "deflate", "zstd", "gzip, gzip", "x-gzip"])
async def test_no_other_encoding_is_taken(encoding: str) -> None:
    async with a_port() as port:
        answer = await port.send(post(b"abc", headers=(("Content-Encoding", encoding),)))

        assert status_of(answer) == 415
        assert code_of(answer) == "unsupported_encoding"


async def test_a_body_that_trickles_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_module, "GRACE_S", 0.05)
    monkeypatch.setattr(listener_module, "LINGER_SECONDS", 0.05)
    async with a_port() as port:
        answer = await port.send(post(b"a", framing=b"Content-Length: 100"), until_close=True)

        assert status_of(answer) == 408
        assert code_of(answer) == "request_timeout"


async def test_each_byte_buys_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_module, "GRACE_S", 0.1)
    monkeypatch.setattr(body_module, "BYTES_PER_S_MIN", 1)
    async with a_port() as port:
        raw = post(b"abcde", headers=(("Connection", "close"),))

        answer = await port.send_slowly([raw[:-4], raw[-4:-2], b"", raw[-2:-1], raw[-1:]])

        assert status_of(answer) == 200


async def test_a_caller_who_expects_to_be_told_to_continue_is_told() -> None:
    async with a_port() as port:
        raw = post(b"abc", headers=(("Expect", "100-continue"),))
        reader, writer = await asyncio.open_connection(port.host, port.port)
        try:
            writer.write(raw[:-3])
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(b"abc")

            assert status_of(await read_answer(reader)) == 200
        finally:
            writer.close()


async def test_any_other_expectation_fails() -> None:
    async with a_port() as port:
        raw = post(b"", framing=b"Content-Length: 3\r\nExpect: 200-ok")

        assert status_of(await port.send(raw)) == 417

from __future__ import annotations

import asyncio

import pytest

from gateway.domain.refusal import Refusal, RefusalCode
from gateway.pipeline.incoming import Incoming
from gateway.ports.reply import ClientGone, Reply
from gateway.server import reply as reply_module
from tests.server.house import a_port, body_of, headers_of, post, read_answer, status_of

SSE = [("content-type", "text/event-stream")]


async def test_a_stream_passes_byte_for_byte_in_chunks_of_its_own() -> None:
    async with a_port() as port:

        async def stream(incoming: Incoming, reply: Reply) -> None:
            await reply.begin(200, SSE)
            for chunk in (b"data: 1\n\n", b"", b"data: \xff", b"\n\n"):
                await reply.write(chunk)
            await reply.end()

        port.pipeline.serving = stream
        answer = await port.send(post(headers=(("Connection", "close"),)), until_close=True)

        assert body_of(answer) == b"9\r\ndata: 1\n\n\r\n7\r\ndata: \xff\r\n2\r\n\n\n\r\n0\r\n\r\n"
        said = headers_of(answer)
        assert said["transfer-encoding"] == "chunked"
        assert said["content-type"] == "text/event-stream"
        assert said["x-accel-buffering"] == "no"
        assert "content-encoding" not in said
        assert port.signals.open_streams == 0


async def test_each_chunk_leaves_before_the_next_is_written() -> None:
    async with a_port() as port:
        may_go_on = asyncio.Event()

        async def stream(incoming: Incoming, reply: Reply) -> None:
            await reply.begin(200, SSE)
            await reply.write(b"data: 1\n\n")
            await may_go_on.wait()
            await reply.end()

        port.pipeline.serving = stream
        reader, writer = await asyncio.open_connection(port.host, port.port)
        try:
            writer.write(post())
            async with asyncio.timeout(2.0):
                assert (await reader.readuntil(b"data: 1\n\n\r\n")).endswith(b"data: 1\n\n\r\n")
            may_go_on.set()
            assert await reader.readexactly(5) == b"0\r\n\r\n"
        finally:
            writer.close()


async def test_the_connection_is_used_again_after_a_stream() -> None:
    async with a_port() as port:

        async def stream(incoming: Incoming, reply: Reply) -> None:
            await reply.begin(200, SSE)
            await reply.end()

        port.pipeline.serving = stream
        reader, writer = await asyncio.open_connection(port.host, port.port)
        try:
            writer.write(post())
            await reader.readuntil(b"0\r\n\r\n")
            port.pipeline.serving = port.pipeline.echo
            writer.write(post(b"ab"))

            assert body_of(await read_answer(reader)) == b'{"bytes": 2}'
        finally:
            writer.close()


async def test_a_stream_to_http_1_0_has_no_chunks_and_ends_with_the_connection() -> None:
    async with a_port() as port:

        async def stream(incoming: Incoming, reply: Reply) -> None:
            await reply.begin(200, SSE)
            await reply.write(b"data: 1\n\n")
            await reply.end()

        port.pipeline.serving = stream
        answer = await port.send(post(version=b"HTTP/1.0"), until_close=True)

        assert body_of(answer) == b"data: 1\n\n"
        assert "transfer-encoding" not in headers_of(answer)
        assert headers_of(answer)["connection"] == "close"


async def test_a_refusal_returns_the_status_it_was_given() -> None:
    async with a_port() as port:
        statuses: list[int] = []

        async def refuse(incoming: Incoming, reply: Reply) -> None:
            refusal = Refusal(RefusalCode.BUDGET_EXHAUSTED, "Spent.", param="support-month")
            statuses.append(await reply.refuse(refusal, [("x-joulegate-attempts", "1")]))

        port.pipeline.serving = refuse
        answer = await port.send(post())

        assert statuses == [402]
        assert status_of(answer) == 402
        assert headers_of(answer)["x-should-retry"] == "false"
        assert headers_of(answer)["x-joulegate-attempts"] == "1"


async def test_an_aborted_stream_ends_without_its_last_chunk() -> None:
    async with a_port() as port:

        async def broken(incoming: Incoming, reply: Reply) -> None:
            await reply.begin(200, SSE)
            await reply.write(b"data: 1\n\n")
            reply.abort()

        port.pipeline.serving = broken
        answer = await port.send(post(), until_close=True)

        assert body_of(answer) == b"9\r\ndata: 1\n\n\r\n"


async def test_writing_to_a_caller_who_left_raises_client_gone() -> None:
    async with a_port() as port:
        gone = asyncio.Event()

        async def shielded(incoming: Incoming, reply: Reply) -> None:
            await reply.begin(200, SSE)
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                with pytest.raises(ClientGone):
                    await reply.write(b"data: 1\n\n")
                gone.set()
                raise

        port.pipeline.serving = shielded
        reader, writer = await asyncio.open_connection(port.host, port.port)
        writer.write(post())
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

        async with asyncio.timeout(1.0):
            await gone.wait()


async def test_a_caller_who_takes_nothing_holds_the_writer_back_and_is_cut_in_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reply_module, "WRITE_SECONDS_MAX", 0.2)
    async with a_port() as port:
        written = 0
        cut = asyncio.Event()

        async def flood(incoming: Incoming, reply: Reply) -> None:
            nonlocal written
            await reply.begin(200, SSE)
            try:
                while True:
                    await reply.write(b"a" * 65_536)
                    written += 65_536
            except (ClientGone, asyncio.CancelledError):
                cut.set()
                raise

        port.pipeline.serving = flood
        _, writer = await asyncio.open_connection(port.host, port.port, limit=1024)
        try:
            writer.write(post())
            async with asyncio.timeout(5.0):
                await cut.wait()
            assert written < 16_000_000
        finally:
            writer.close()

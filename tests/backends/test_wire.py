from __future__ import annotations

import asyncio

import pytest

from gateway.backends.http import HttpUpstream
from gateway.backends.wire import HELD_BYTES_MAX
from gateway.domain.faults import BackendFailed
from tests.backends.asking import OK, an_upstream, sent, whole
from tests.backends.raw_server import a_raw_server, says

MEBIBYTE = b"x" * (1 << 20)


class Flood:
    """A backend that writes as long as it is let."""

    def __init__(self, mebibytes: int):
        self.mebibytes = mebibytes
        self.written = 0

    async def __call__(self, writer: asyncio.StreamWriter) -> None:
        writer.write(OK + b"content-length: %d\r\n\r\n" % (self.mebibytes << 20))
        for _ in range(self.mebibytes):
            writer.write(MEBIBYTE)
            await writer.drain()
            self.written += 1


async def test_a_reader_of_ours_that_is_behind_stops_the_backend_and_misses_nothing():
    flood = Flood(64)
    async with a_raw_server(flood) as raw, an_upstream(raw.url) as up:
        answer = await sent(up, stream=True)
        first = await anext(answer)
        written_before = -1
        while flood.written != written_before:
            written_before = flood.written
            await asyncio.sleep(0.1)
        assert flood.written < 32  # what the sockets' own buffers hold

        second = await anext(answer)
        size = len(first) + len(second) + sum([len(chunk) async for chunk in answer])
        answer.close()

        assert size == 64 << 20
        assert len(second) <= HELD_BYTES_MAX + (256 << 10)  # the bound, and one read of the loop's
        assert await a_next_request_works(up, flood)


async def a_next_request_works(up: HttpUpstream, flood: Flood) -> bool:
    flood.mebibytes = 1
    return len(await whole(up, limit=2 << 20)) == 1 << 20


async def test_a_backlog_read_late_does_not_leave_the_connection_deaf():
    answer = OK + b"content-length: 200000\r\n\r\n" + b"x" * 200_000
    async with a_raw_server(says(answer, close=False)) as raw, an_upstream(raw.url) as up:
        for _ in range(3):
            got = await sent(up)
            await asyncio.sleep(0.05)
            assert len(await got.body(1 << 20)) == 200_000
            got.close()

        assert raw.connections == 1


async def test_pieces_of_one_arrival_are_handed_over_at_once_and_in_order():
    at_once = b"".join(b"%x\r\n%b\r\n" % (len(event), event) for event in (b"data: 1\n\n", b"data: 2\n\n"))
    async with (
        a_raw_server(says(OK + b"transfer-encoding: chunked\r\n\r\n", at_once, b"3\r\nend\r\n0\r\n\r\n")) as raw,
        an_upstream(raw.url) as up,
    ):
        answer = await sent(up, stream=True)
        chunks = [chunk async for chunk in answer]
        answer.close()

    assert chunks == [b"data: 1\n\ndata: 2\n\n", b"end"]


async def test_what_came_before_a_break_is_handed_over_first():
    broken = OK + b"transfer-encoding: chunked\r\n\r\n2\r\nab\r\n"
    async with a_raw_server(says(broken)) as raw, an_upstream(raw.url) as up:
        answer = await sent(up, stream=True)
        chunks = []
        with pytest.raises(BackendFailed) as failed:
            async for chunk in answer:
                chunks.append(chunk)
        answer.close()

    assert (chunks, failed.value.sent) == ([b"ab"], True)


async def test_an_interim_answer_is_skipped():
    hints = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
    async with a_raw_server(says(hints, OK + b"content-length: 2\r\n\r\n{}")) as raw, an_upstream(raw.url) as up:
        assert await whole(up) == b"{}"


async def test_an_answer_before_the_whole_request_was_taken_costs_its_connection():
    """The rest of the request may still be on its way: what the backend answers next would be a guess."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 No\r\ncontent-length: 2\r\n\r\n{}")
        await asyncio.sleep(0.3)
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0, limit=1 << 10)
    async with an_upstream(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1") as up:
        answer = await sent(up, body=MEBIBYTE * 16)
        assert (answer.status, await answer.body(10)) == (413, b"{}")
        answer.close()
        await asyncio.sleep(0)
        await asyncio.sleep(0)

        assert up.connections == 0
    server.close()


async def test_a_closed_answer_can_not_be_read():
    """Its connection may carry another caller's answer by then."""
    async with a_raw_server(says(OK + b"content-length: 2\r\n\r\n{}", close=False)) as raw, an_upstream(raw.url) as up:
        answer = await sent(up)
        answer.close()

        with pytest.raises(BackendFailed):
            await answer.body(10)
        with pytest.raises(BackendFailed):
            await anext(answer)


async def test_no_more_connections_are_open_than_requests_were_in_flight():
    async with (
        a_raw_server(says(OK + b"content-length: 2\r\n\r\n{}", close=False)) as raw,
        an_upstream(raw.url, concurrent_max=4) as up,
    ):
        for _ in range(5):
            await asyncio.gather(*(whole(up) for _ in range(4)))

        assert raw.connections == up.connections == 4


@pytest.mark.parametrize("values", [{"request_id": "r\r\nx: y"}, {"traceparent": "00\n"}, {"request_id": "r\0"}])
async def test_a_value_that_could_end_a_line_is_never_written(values):
    async with a_raw_server(says()) as raw, an_upstream(raw.url) as up:
        with pytest.raises(ValueError, match="printable"):
            await sent(up, **values)

        assert (up.in_flight, raw.connections) == (0, 0)

from __future__ import annotations

import asyncio
import gzip
import socket
import struct

import pytest

from gateway.backends.http import HttpUpstreams
from gateway.domain.catalog import Backend, Timeouts
from gateway.domain.faults import BackendFailed, FailureKind
from tests.backends.asking import OK, PROMPT, SHORT, an_upstream, failure, sent, whole
from tests.backends.raw_server import a_raw_server, says


async def test_the_request_is_built_from_configuration_and_nothing_else():
    async with (
        a_raw_server(says(OK + b"content-length: 2\r\n\r\n{}")) as raw,
        an_upstream(raw.url, headers=(("x-tenant", "t"),)) as up,
    ):
        assert await whole(up) == b"{}"

    head, body = raw.seen[0].split(b"\r\n\r\n")
    request, *lines = head.decode().split("\r\n")
    assert request == "POST /v1/chat/completions HTTP/1.1"
    assert sorted(line.lower() for line in lines) == sorted(
        [
            f"host: 127.0.0.1:{raw.port}",
            "x-tenant: t",
            "content-type: application/json",
            "accept: application/json",
            "accept-encoding: identity",
            "user-agent: joulegate",
            "authorization: bearer upstream-key",
            "x-request-id: r-1",
            "traceparent: 00-a-b-01",
            f"content-length: {len(PROMPT)}",
        ]
    )
    assert body == PROMPT


async def test_only_listed_headers_come_down_and_cookies_are_never_replayed():
    answer = (
        OK
        + b"set-cookie: tenant=1\r\nserver: x\r\nopenai-organization: o\r\nretry-after: 3\r\ncontent-length: 0\r\n\r\n"
    )
    async with a_raw_server(says(answer, close=False)) as raw, an_upstream(raw.url) as up:
        first = await sent(up)
        first.close()
        await whole(up)

    assert first.headers == {"content-type": "application/json", "retry-after": "3"}
    assert b"cookie" not in raw.seen[1].lower()


async def test_a_connection_read_to_its_end_is_used_again():
    async with a_raw_server(says(OK + b"content-length: 2\r\n\r\n{}", close=False)) as raw, an_upstream(raw.url) as up:
        for _ in range(3):
            await whole(up)

        assert raw.connections == 1


async def test_a_connection_that_the_backend_closed_meanwhile_is_not_used_again():
    async with a_raw_server(says(OK + b"content-length: 2\r\n\r\n{}", close=True)) as raw, an_upstream(raw.url) as up:
        await whole(up)
        await asyncio.wait_for(raw.left.wait(), 1)
        await asyncio.sleep(0.02)

        assert await whole(up) == b"{}"
        assert raw.connections == 2


@pytest.mark.filterwarnings("error")
async def test_a_body_of_megabytes_arrives_whole():
    body = b"x" * (3 << 20)
    async with a_raw_server(says(OK + b"content-length: 2\r\n\r\n{}")) as raw, an_upstream(raw.url) as up:
        answer = await sent(up, body=body)
        await answer.body(10)
        answer.close()

    assert raw.seen[0].endswith(body)


async def test_tls_that_fails_is_a_connection_that_never_was():
    async with a_raw_server(says(b"not tls")) as raw, an_upstream(raw.url.replace("http://", "https://")) as up:
        failed = await failure(up)

    assert (failed.kind, failed.sent) == (FailureKind.CONNECT, False)


async def test_an_answer_that_was_not_read_costs_its_connection():
    async with (
        a_raw_server(says(OK + b"content-length: 100\r\n\r\n{}", close=False)) as raw,
        an_upstream(raw.url) as up,
    ):
        answer = await sent(up)
        answer.close()
        await asyncio.wait_for(raw.left.wait(), 1)


async def test_an_upstreams_error_status_is_an_answer():
    async with (
        a_raw_server(says(b"HTTP/1.1 429 Slow\r\nretry-after: 7\r\ncontent-length: 1\r\n\r\nx")) as raw,
        an_upstream(raw.url) as up,
    ):
        answer = await sent(up)

        assert (answer.status, answer.headers["retry-after"], await answer.body(10)) == (429, "7", b"x")
        answer.close()


async def test_chunks_come_as_they_arrive():
    async with (
        a_raw_server(
            says(OK + b"transfer-encoding: chunked\r\n\r\n", b"2\r\nab\r\n", b"1\r\nc\r\n", b"0\r\n\r\n")
        ) as raw,
        an_upstream(raw.url) as up,
    ):
        answer = await sent(up, stream=True)
        chunks = [chunk async for chunk in answer.chunks()]
        answer.close()

    assert chunks == [b"ab", b"c"]
    assert b"accept: text/event-stream" in raw.seen[0].lower()


async def test_a_refused_connection_sent_nothing():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    async with an_upstream(f"http://127.0.0.1:{port}/v1") as up:
        failed = await failure(up)

    assert (failed.kind, failed.sent) == (FailureKind.CONNECT, False)
    assert "127.0.0.1" not in failed.message


async def test_a_connection_that_is_never_accepted_times_out_as_unsent():
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())

        async with an_upstream(f"http://127.0.0.1:{full.getsockname()[1]}/v1") as up:
            failed = await failure(up, Timeouts(connect_ms=100, first_byte_ms=5_000))
        for filler in fillers:
            filler.close()

    assert (failed.kind, failed.sent) == (FailureKind.CONNECT, False)


async def test_a_redirect_is_a_failure_and_takes_neither_key_nor_prompt_along():
    async with a_raw_server(says(OK)) as thief:
        redirect = f"HTTP/1.1 307 Go\r\nlocation: {thief.url}\r\ncontent-length: 0\r\n\r\n".encode()
        async with a_raw_server(says(redirect)) as raw, an_upstream(raw.url) as up:
            failed = await failure(up)

    assert (failed.kind, failed.sent, failed.status) == (FailureKind.PROTOCOL, True, 307)
    assert thief.connections == 0


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"garbage\r\n\r\n", id="garbage"),
        pytest.param(OK + b"content-length: 10\r\n\r\n{}", id="truncated length"),
        pytest.param(OK + b"transfer-encoding: chunked\r\n\r\n5\r\n{}", id="truncated chunk"),
        pytest.param(OK + b"transfer-encoding: chunked\r\n\r\nZZ\r\n{}\r\n0\r\n\r\n", id="chunk size that is none"),
        pytest.param(
            OK + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", id="both framings"
        ),
        pytest.param(OK + b"content-length: 2\r\ncontent-length: 3\r\n\r\n{}", id="two lengths"),
        pytest.param(OK + b"x-a: \0\r\ncontent-length: 2\r\n\r\n{}", id="NUL in a header"),
        pytest.param(OK + b"x-a: " + b"a" * 20_000 + b"\r\ncontent-length: 2\r\n\r\n{}", id="20 kB header"),
        pytest.param(b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", id="upgrade"),
        pytest.param(
            OK + b"content-encoding: gzip\r\ncontent-length: 1038\r\n\r\n" + gzip.compress(b"0" * 10**6), id="bomb"
        ),
    ],
)
async def test_an_answer_in_doubtful_framing_fails_and_its_connection_is_never_used_again(answer):
    async with a_raw_server(says(answer)) as raw, an_upstream(raw.url) as up:
        failed = await failure(up)
        await asyncio.wait_for(raw.left.wait(), 1)

    assert failed.kind is FailureKind.PROTOCOL
    assert failed.sent


async def test_bytes_after_an_answers_end_cost_the_connection():
    smuggled = OK + b"content-length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nsmuggled!"
    async with a_raw_server(says(smuggled, close=False)) as raw, an_upstream(raw.url) as up:
        bodies = [await whole(up), await whole(up)]

    assert bodies == [b"{}", b"{}"]
    assert raw.connections == 2


async def test_a_body_ended_by_close_is_whole_so_that_streams_are_judged_by_content():
    async with a_raw_server(says(OK + b"\r\n", b"data: x\n\n")) as raw, an_upstream(raw.url) as up:
        assert await whole(up) == b"data: x\n\n"


async def test_a_connection_closed_before_the_answer_may_have_been_billed():
    async with a_raw_server(says()) as raw, an_upstream(raw.url) as up:
        failed = await failure(up)

    assert (failed.kind, failed.sent) == (FailureKind.RESET, True)
    assert raw.connections == 1  # a POST is never repeated by the client library


async def test_a_reset_in_the_middle_is_a_failure_after_sending():
    async def reset(writer: asyncio.StreamWriter) -> None:
        writer.write(OK + b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n")
        await writer.drain()
        await asyncio.sleep(0.02)
        raw_socket = writer.get_extra_info("socket")
        raw_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async with a_raw_server(reset) as raw, an_upstream(raw.url) as up:
        failed = await failure(up)

    assert failed.kind in (FailureKind.RESET, FailureKind.PROTOCOL)
    assert failed.sent


async def test_silence_before_the_headers_is_a_timeout_after_sending():
    async with a_raw_server(says(close=False)) as raw, an_upstream(raw.url) as up:
        failed = await failure(up, SHORT)
        await asyncio.wait_for(raw.left.wait(), 1)

    assert (failed.kind, failed.sent) == (FailureKind.TIMEOUT, True)


@pytest.mark.parametrize("pieces", [(), (b"1\r\na\r\n",)], ids=["before the first byte", "in the middle"])
async def test_silence_in_a_body_is_a_timeout(pieces):
    head = OK + b"transfer-encoding: chunked\r\n\r\n"
    async with a_raw_server(says(head, *pieces, close=False)) as raw, an_upstream(raw.url) as up:
        failed = await failure(up, SHORT)
        await asyncio.wait_for(raw.left.wait(), 1)

    assert (failed.kind, failed.sent) == (FailureKind.TIMEOUT, True)
    assert failed.message == "silence for 0.15 s"


async def test_a_trickle_that_never_pauses_still_ends_at_the_total_limit():
    async def trickle(writer: asyncio.StreamWriter) -> None:
        writer.write(OK + b"transfer-encoding: chunked\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"1\r\na\r\n")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with a_raw_server(trickle) as raw, an_upstream(raw.url) as up:
        failed = await failure(up, Timeouts(first_byte_ms=200, idle_ms=200, total_ms=400))

    assert (failed.kind, failed.message) == (FailureKind.TIMEOUT, "the answer took longer than its total limit")


async def test_a_slow_reader_of_ours_is_not_the_upstreams_silence():
    pieces = [b"1\r\na\r\n", b"1\r\nb\r\n", b"0\r\n\r\n"]
    async with (
        a_raw_server(says(OK + b"transfer-encoding: chunked\r\n\r\n", *pieces)) as raw,
        an_upstream(raw.url) as up,
    ):
        answer = await sent(up, SHORT)
        first = await anext(answer)
        await asyncio.sleep(0.4)
        rest = [chunk async for chunk in answer.chunks()]
        answer.close()

    assert first + b"".join(rest) == b"ab"


@pytest.mark.parametrize("framing", [b"content-length: 50\r\n\r\n", b"\r\n"], ids=["declared", "undeclared"])
async def test_an_answer_above_the_limit_is_not_read_to_its_end(framing):
    async with a_raw_server(says(OK + framing + b"x" * 50)) as raw, an_upstream(raw.url) as up:
        failed = await failure(up, limit=49)

    assert (failed.kind, failed.sent) == (FailureKind.PROTOCOL, True)


async def test_cancelling_closes_the_upstream_socket_within_a_second():
    async with a_raw_server(says(OK + b"\r\n", b"data: x\n\n", close=False)) as raw, an_upstream(raw.url) as up:

        async def relay() -> None:
            answer = await sent(up)
            try:
                async for _ in answer.chunks():
                    pass
            finally:
                answer.close()

        task = asyncio.create_task(relay())
        await asyncio.sleep(0.1)
        task.cancel()
        await asyncio.wait_for(raw.left.wait(), 1)
        await asyncio.gather(task, return_exceptions=True)

        assert up.in_flight == 0


async def test_cancelling_while_waiting_for_headers_closes_the_socket_too():
    async with a_raw_server(says(close=False)) as raw, an_upstream(raw.url) as up:
        task = asyncio.create_task(sent(up))
        await asyncio.sleep(0.1)
        task.cancel()
        await asyncio.wait_for(raw.left.wait(), 1)
        await asyncio.gather(task, return_exceptions=True)

        assert up.in_flight == 0


async def test_beyond_its_concurrency_a_backend_is_overloaded_at_once_and_nothing_is_sent():
    async with (
        a_raw_server(says(OK + b"content-length: 9\r\n\r\n", close=False)) as raw,
        an_upstream(raw.url, concurrent_max=1) as up,
    ):
        answer = await sent(up)
        with pytest.raises(BackendFailed) as failed:
            await sent(up)
        answer.close()

    assert (failed.value.kind, failed.value.sent) == (FailureKind.OVERLOADED, False)
    assert len(raw.seen) == 1


async def test_a_reload_keeps_unchanged_backends_and_lets_the_others_finish():
    async with a_raw_server(says(OK + b"\r\n", b"late", close=True)) as raw:
        upstreams = HttpUpstreams()
        kept, gone = Backend("kept", raw.url), Backend("gone", raw.url)
        upstreams.apply({"kept": kept, "gone": gone})
        before = upstreams.get("kept")
        answer = await sent(upstreams.get("gone"))

        upstreams.apply({"kept": kept})

        assert upstreams.get("kept") is before
        with pytest.raises(KeyError):
            upstreams.get("gone")
        assert await answer.body(100) == b"late"
        answer.close()
        await upstreams.close()


@pytest.mark.parametrize(
    "fields",
    [
        {"url": "ftp://x/v1"},
        {"url": "http:///v1"},
        {"url": "http://user:pass@x/v1"},
        {"url": "http://x/v1?key=1"},
        {"url": "https://x/v1", "ca_file": "/nowhere/ca.pem"},
        {"url": "http://x/v1", "headers": (("connection", "close"),)},
        {"url": "http://x/v1", "headers": (("x-a", "b\r\nc: d"),)},
        {"url": "http://x/v1", "headers": (("x a", "b"),)},
        {"url": "http://x/v1", "api_key": "k\n"},
    ],
)
async def test_a_destination_that_can_not_be_used_is_refused_at_load(fields):
    upstreams = HttpUpstreams()

    with pytest.raises(ValueError, match="backend bad"):
        upstreams.apply({"bad": Backend("bad", **fields)})

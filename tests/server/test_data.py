from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path

import pytest

from gateway.domain.call import CallKind
from gateway.domain.catalog import Limits
from gateway.domain.faults import LedgerUnavailable
from gateway.domain.record import Outcome
from gateway.pipeline.incoming import Incoming
from gateway.ports.reply import Reply
from gateway.server.data import require_c_parser
from tests.server.house import (
    ALICE,
    KEY,
    Port,
    a_port,
    body_of,
    get,
    headers_of,
    post,
    read_answer,
    status_of,
)


def error_of(answer: bytes) -> dict[str, object]:
    error = json.loads(body_of(answer))["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/v1/chat/completions", CallKind.CHAT),
        ("/v1/completions", CallKind.COMPLETION),
        ("/v1/embeddings", CallKind.EMBEDDING),
        ("/v1/chat/completions?api-version=2026-01-01", CallKind.CHAT),
    ],
)
async def test_a_call_reaches_the_pipeline_with_its_kind_and_identity(path: str, kind: CallKind) -> None:
    async with a_port() as port:
        answer = await port.send(post(b'{"a": 1}', path=path))

        assert status_of(answer) == 200
        assert port.pipeline.bodies == [b'{"a": 1}']
        [incoming] = port.pipeline.seen
        assert (incoming.kind, incoming.identity, incoming.accepted) == (kind, ALICE, 100.0)


async def test_an_identity_may_be_awaited_for() -> None:
    async with a_port() as port:
        port.identities.awaits = True

        assert status_of(await port.send(post())) == 200


@pytest.mark.parametrize("key", [b"jg-wrong", b"schl\xfcssel", b"\xff\xfe", "ключ".encode()])
async def test_a_key_nobody_knows_is_401_whatever_its_bytes(key: bytes) -> None:
    async with a_port() as port:
        answer = await port.send(post(key=key))

        assert status_of(answer) == 401
        assert error_of(answer)["code"] == "invalid_api_key"
        assert port.signals.refusals == ["bad_key"]
        assert port.recorder.records == []
        assert key not in answer


async def test_no_key_is_401_and_not_looked_up() -> None:
    async with a_port() as port:
        answer = await port.send(post(key=None))

        assert status_of(answer) == 401
        assert headers_of(answer)["www-authenticate"] == "Bearer"
        assert port.signals.refusals == ["no_key"]
        assert port.identities.asked == []


async def test_two_credentials_are_refused_before_either_is_looked_up() -> None:
    async with a_port() as port:
        answer = await port.send(post(headers=(("x-api-key", "jg-bob"),)))

        assert status_of(answer) == 400
        assert error_of(answer)["code"] == "several_credentials"
        assert port.identities.asked == []


async def test_when_keys_can_not_be_checked_the_caller_may_come_back() -> None:
    async with a_port() as port:
        port.identities.fault = LedgerUnavailable()

        answer = await port.send(post())

        assert status_of(answer) == 503
        assert error_of(answer)["code"] == "ledger_unavailable"
        assert headers_of(answer)["retry-after"] == "1"


async def test_the_callers_request_id_is_echoed_and_the_ledgers_is_ours() -> None:
    async with a_port() as port:
        answer = await port.send(post(headers=(("x-request-id", "mine-7"),)))

        assert headers_of(answer)["x-request-id"] == "mine-7"
        [incoming] = port.pipeline.seen
        assert (incoming.caller.request_id, incoming.caller.client_request_id) == ("own-1", "mine-7")


async def test_a_request_id_that_is_no_id_is_replaced_by_ours() -> None:
    async with a_port() as port:
        answer = await port.send(post(headers=(("x-request-id", "a b"),)))

        assert headers_of(answer)["x-request-id"] == "own-1"


async def test_a_header_at_fault_is_refused_through_the_pipeline_which_keeps_the_record() -> None:
    async with a_port() as port:
        answer = await port.send(post(headers=(("x-joulegate-session", "a b"),)))

        assert status_of(answer) == 400
        assert error_of(answer)["param"] == "x-joulegate-session"
        assert len(port.pipeline.seen) == 1
        assert port.signals.refusals == []


async def test_more_requests_than_allowed_are_refused_at_once_each_with_a_record() -> None:
    async with a_port(limits=Limits(concurrent_requests=1)) as port:
        entered, leave = asyncio.Event(), asyncio.Event()

        async def slow(incoming: Incoming, reply: Reply) -> None:
            entered.set()
            await leave.wait()
            await reply.send(200, [], b"{}")

        port.pipeline.serving = slow
        first = asyncio.create_task(port.send(post()))
        await entered.wait()

        second = await port.send(post())
        leave.set()

        assert status_of(await first) == 200
        assert status_of(second) == 503
        assert error_of(second)["code"] == "overloaded"
        assert headers_of(second)["retry-after"] == "1"
        [record] = port.recorder.records
        assert (record.outcome, record.status, record.key_id) == (Outcome.UNAVAILABLE, 503, "k-alice")
        assert port.signals.records == [record]


async def test_more_connections_than_allowed_are_told_so_and_closed() -> None:
    async with a_port(connections_max=1) as port:
        reader, writer = await asyncio.open_connection(port.host, port.port)
        try:
            writer.write(post())
            assert status_of(await read_answer(reader)) == 200

            answer = await port.send(b"", until_close=True)

            assert status_of(answer) == 503
            assert port.signals.refusals == ["overloaded"]
        finally:
            writer.close()


async def test_a_caller_who_hangs_up_cancels_the_request_at_once() -> None:
    async with a_port() as port:
        entered = asyncio.Event()

        async def endless(incoming: Incoming, reply: Reply) -> None:
            await incoming.read_body()
            await reply.begin(200, [("content-type", "text/event-stream")])
            entered.set()
            await asyncio.Event().wait()

        port.pipeline.serving = endless
        _, writer = await asyncio.open_connection(port.host, port.port)
        writer.write(post())
        await entered.wait()
        assert port.signals.open_streams == 1

        writer.close()

        async with asyncio.timeout(1.0):
            await port.pipeline.cancelled.wait()
        await asyncio.sleep(0)
        assert port.signals.open_streams == 0


async def test_a_caller_who_resets_the_connection_cancels_the_request_at_once() -> None:
    async with a_port() as port:
        entered = asyncio.Event()

        async def endless(incoming: Incoming, reply: Reply) -> None:
            entered.set()
            await asyncio.Event().wait()

        port.pipeline.serving = endless
        _, writer = await asyncio.open_connection(port.host, port.port)
        writer.write(post())
        await entered.wait()

        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        writer.transport.abort()

        async with asyncio.timeout(1.0):
            await port.pipeline.cancelled.wait()


async def test_an_unforeseen_failure_is_500_without_a_word_of_it(caplog: pytest.LogCaptureFixture) -> None:
    async with a_port() as port:

        async def broken(incoming: Incoming, reply: Reply) -> None:
            raise RuntimeError("the password is hunter2")

        port.pipeline.serving = broken
        answer = await port.send(post(), until_close=True)

        assert status_of(answer) == 500
        assert error_of(answer)["code"] == "internal_error"
        assert b"hunter2" not in answer
        assert KEY.decode() not in caplog.text


async def test_a_failure_after_the_answer_began_ends_the_connection() -> None:
    async with a_port() as port:

        async def broken(incoming: Incoming, reply: Reply) -> None:
            await reply.begin(200, [("content-type", "text/event-stream")])
            await reply.write(b"data: 1\n\n")
            raise RuntimeError

        port.pipeline.serving = broken
        reader, writer = await asyncio.open_connection(port.host, port.port)
        try:
            writer.write(post())
            answer = bytearray()
            with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                while True:
                    answer += await reader.readexactly(1)
            assert not answer.endswith(b"0\r\n\r\n")
        finally:
            writer.close()


async def streaming_port(port: Port, entered: asyncio.Event, *chunks: bytes) -> None:
    async def endless(incoming: Incoming, reply: Reply) -> None:
        await reply.begin(200, [("content-type", "text/event-stream")])
        for chunk in chunks:
            await reply.write(chunk)
        entered.set()
        await asyncio.Event().wait()

    port.pipeline.serving = endless


async def test_draining_lets_a_running_request_end_and_takes_no_new_one() -> None:
    async with a_port() as port:
        entered, leave = asyncio.Event(), asyncio.Event()

        async def slow(incoming: Incoming, reply: Reply) -> None:
            entered.set()
            await leave.wait()
            await reply.send(200, [], b"{}")

        port.pipeline.serving = slow
        running = asyncio.create_task(port.send(post(), until_close=True))
        await entered.wait()

        drained = asyncio.create_task(port.server.drain(5.0))
        await asyncio.sleep(0.01)
        with pytest.raises(OSError):
            await port.send(post())
        leave.set()

        assert await drained is True
        assert port.draining.is_set()
        assert status_of(await running) == 200


async def test_a_body_that_is_still_coming_when_the_drain_begins_is_read_to_its_end() -> None:
    async with a_port() as port:
        raw = post(b"abcdef")
        reader, writer = await asyncio.open_connection(port.host, port.port)
        try:
            writer.write(raw[:-3])
            while not port.pipeline.seen:
                await asyncio.sleep(0.005)
            drained = asyncio.create_task(port.server.drain(5.0))
            await asyncio.sleep(0.01)
            writer.write(raw[-3:])

            answer = await reader.read()

            assert body_of(answer) == b'{"bytes": 6}'
            assert headers_of(answer)["connection"] == "close"
            assert await drained is True
        finally:
            writer.close()


async def test_draining_closes_idle_connections_at_once() -> None:
    async with a_port() as port:
        reader, writer = await asyncio.open_connection(port.host, port.port)
        try:
            writer.write(post())
            await read_answer(reader)

            assert await port.server.drain(5.0) is True

            assert await reader.read() == b""
        finally:
            writer.close()


async def test_what_still_streams_when_the_drain_ends_is_broken_off_and_no_event_is_added() -> None:
    async with a_port() as port:
        entered = asyncio.Event()
        await streaming_port(port, entered, b"data: 1\n\n")
        running = asyncio.create_task(port.send(post(), until_close=True))
        await entered.wait()

        clean = await port.server.drain(0.05)

        answer = await running
        assert clean is False
        assert answer.endswith(b"data: 1\n\n\r\n")  # the last chunk, and not the one that would end the answer
        assert port.pipeline.cancelled.is_set()


async def test_what_has_not_begun_when_the_drain_ends_is_refused() -> None:
    async with a_port() as port:
        entered = asyncio.Event()

        async def never(incoming: Incoming, reply: Reply) -> None:
            entered.set()
            await asyncio.Event().wait()

        port.pipeline.serving = never
        running = asyncio.create_task(port.send(post(), until_close=True))
        await entered.wait()

        assert await port.server.drain(0.05) is False

        answer = await running
        assert status_of(answer) == 503
        assert headers_of(answer)["retry-after"] == "1"
        assert headers_of(answer)["connection"] == "close"


async def test_a_unix_socket_serves_as_well(tmp_path: Path) -> None:
    port = Port()
    path = str(tmp_path / "data.sock")
    assert await port.server.start(unix=path) == path
    try:
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(get("/v1/models"))
        assert status_of(await read_answer(reader)) == 200
        writer.close()
    finally:
        await port.server.close()


async def test_a_bound_socket_serves_as_well() -> None:
    port = Port()
    sock = socket.create_server(("127.0.0.1", 0))
    bound = await port.server.start(sock=sock)
    try:
        assert isinstance(bound, tuple)
        port.host, port.port = bound
        assert status_of(await port.send(get("/v1/models"))) == 200
    finally:
        await port.server.close()


def test_the_c_parser_is_there() -> None:
    require_c_parser()


async def test_only_the_head_limit_ends_a_connection_that_sends_its_head_too_slowly() -> None:
    async with a_port() as port:
        reader, writer = await asyncio.open_connection(port.host, port.port)
        try:
            writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nHost:")
            await writer.drain()
            await asyncio.sleep(0.02)
            now = asyncio.get_running_loop().time()

            port.listener.sweep(now + 9.0)
            writer.write(b" local")
            await writer.drain()
            await asyncio.sleep(0.02)
            assert port.signals.refusals == []
            port.listener.sweep(now + 11.0)

            assert await reader.read() == b""
            assert port.signals.refusals == ["slow_head"]
        finally:
            writer.close()


async def test_a_connection_that_says_nothing_is_closed_too() -> None:
    async with a_port() as port:
        reader, writer = await asyncio.open_connection(port.host, port.port)
        try:
            await asyncio.sleep(0.02)
            port.listener.sweep(asyncio.get_running_loop().time() + 11.0)

            assert await reader.read() == b""
        finally:
            writer.close()


async def test_a_request_that_runs_for_long_is_no_slow_head() -> None:
    async with a_port() as port:
        entered, leave = asyncio.Event(), asyncio.Event()

        async def slow(incoming: Incoming, reply: Reply) -> None:
            entered.set()
            await leave.wait()
            await reply.send(200, [], b"{}")

        port.pipeline.serving = slow
        reader, writer = await asyncio.open_connection(port.host, port.port)
        try:
            writer.write(post())
            await entered.wait()
            port.listener.sweep(asyncio.get_running_loop().time() + 900.0)
            leave.set()

            assert status_of(await read_answer(reader)) == 200
            port.listener.sweep(asyncio.get_running_loop().time() + 11.0)
            writer.write(post())
            assert status_of(await read_answer(reader)) == 200
        finally:
            writer.close()

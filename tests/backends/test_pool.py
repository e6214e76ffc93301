from __future__ import annotations

import asyncio
import socket
import threading

import pytest

from gateway.backends.pool import Pool
from gateway.backends.target import target_of
from gateway.backends.wire import Wire
from gateway.domain.catalog import Backend, Timeouts
from gateway.domain.faults import BackendFailed, FailureKind
from tests.backends.asking import an_upstream, failure, whole
from tests.backends.raw_server import RawServer, a_raw_server, says

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
REQUEST = b"POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\n"


def a_pool(raw: RawServer, *, keepalive_seconds: float = 4.0) -> Pool:
    return Pool(target_of(Backend("gpu-a", raw.url)), keepalive_seconds=keepalive_seconds)


async def carried(wire: Wire) -> Wire:
    await wire.exchange(REQUEST, b"{}", Timeouts(), asyncio.get_running_loop().time())
    assert await wire.read() == b"{}"
    assert await wire.read() == b""
    return wire


async def until(condition, seconds: float = 1.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


async def test_the_connection_that_came_back_last_goes_out_first():
    async with a_raw_server(says(ANSWER, close=False)) as raw:
        pool = a_pool(raw)
        first, second = await carried(await pool.connect(1)), await carried(await pool.connect(1))
        first.release()
        second.release()

        assert [pool.pick(), pool.pick(), pool.pick()] == [second, first, None]
        await pool.close()


async def test_a_connection_idle_for_too_long_is_closed_without_being_asked_for():
    async with a_raw_server(says(ANSWER, close=False)) as raw:
        pool = a_pool(raw, keepalive_seconds=0.1)
        (await carried(await pool.connect(1))).release()
        await until(lambda: pool.open == 0)

        assert pool.pick() is None
        await asyncio.wait_for(raw.left.wait(), 1)
        await pool.close()


async def test_a_younger_one_stays_when_an_old_one_goes():
    async with a_raw_server(says(ANSWER, close=False)) as raw:
        pool = a_pool(raw, keepalive_seconds=0.2)
        old, young = await carried(await pool.connect(1)), await carried(await pool.connect(1))
        old.release()
        await asyncio.sleep(0.1)
        young.release()
        await until(lambda: pool.open == 1)

        assert pool.pick() is young
        await pool.close()


async def test_an_idle_connection_that_the_backend_closes_leaves_the_pool():
    async with a_raw_server(says(ANSWER, close=True)) as raw:
        pool = a_pool(raw)
        (await carried(await pool.connect(1))).release()
        await until(lambda: pool.open == 0)

        assert pool.pick() is None
        await pool.close()


async def test_an_idle_connection_that_says_something_leaves_the_pool():
    async def talkative(writer: asyncio.StreamWriter) -> None:
        writer.write(ANSWER)
        await asyncio.sleep(0.05)
        writer.write(b"HTTP/1.1 408 Request Timeout\r\n\r\n")

    async with a_raw_server(talkative) as raw:
        pool = a_pool(raw)
        (await carried(await pool.connect(1))).release()
        assert pool.open == 1

        await until(lambda: pool.open == 0)
        await pool.close()


async def test_a_backend_that_speaks_first_is_not_spoken_to():
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-x\r\n")
        await reader.read()
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    pool = Pool(target_of(Backend("gpu-a", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")))
    wire = await pool.connect(1)
    await until(lambda: not wire.usable)

    with pytest.raises(BackendFailed) as failed:
        await carried(wire)

    assert (failed.value.kind, failed.value.sent) == (FailureKind.CONNECT, False)
    await pool.close()
    server.close()


async def test_a_reader_that_has_not_woken_yet_keeps_its_connection_from_the_next_request():
    async with a_raw_server(says(ANSWER[:-2], close=False)) as raw:
        pool = a_pool(raw)
        wire = await pool.connect(1)
        await wire.exchange(REQUEST, b"{}", Timeouts(), asyncio.get_running_loop().time())
        reading = asyncio.create_task(wire.read())
        await asyncio.sleep(0)
        wire.data_received(b"{}")  # it is whole now, and its reader runs at the loop's next turn
        assert wire.reader.reusable
        wire.release()

        assert pool.pick() is None
        assert await reading == b"{}"
        await pool.close()


async def test_giving_up_while_connecting_leaves_nothing_behind():
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        pool = Pool(target_of(Backend("gpu-a", f"http://127.0.0.1:{full.getsockname()[1]}/v1")))

        connecting = asyncio.create_task(pool.connect(30))
        await asyncio.sleep(0.05)
        connecting.cancel()

        with pytest.raises(asyncio.CancelledError):
            await connecting
        assert pool.open == 0
        await pool.close()
        for filler in fillers:
            filler.close()


async def test_a_backend_that_hangs_up_between_choosing_and_writing_may_have_billed():
    """Its FIN is in the kernel and not yet in our loop: indistinguishable from hanging up after the request."""
    hang_up = threading.Event()

    def serve(listener: socket.socket) -> None:
        with listener.accept()[0] as peer:
            peer.recv(1 << 16)
            peer.sendall(ANSWER)
            hang_up.wait(5)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        async with an_upstream(f"http://127.0.0.1:{listener.getsockname()[1]}/v1") as up:
            await whole(up)
            hang_up.set()
            thread.join()  # the loop stands still meanwhile

            failed = await failure(up)

    assert (failed.kind, failed.sent) == (FailureKind.RESET, True)


async def test_closing_cuts_connections_in_use_too():
    async with a_raw_server(says(close=False)) as raw:
        pool = a_pool(raw)
        wire = await pool.connect(1)
        waiting = asyncio.create_task(carried(wire))
        await until(lambda: len(raw.seen) == 1)

        await pool.close()

        with pytest.raises(BackendFailed):
            await waiting
        await asyncio.wait_for(raw.left.wait(), 1)


async def test_a_closed_pool_opens_nothing():
    async with a_raw_server(says(close=False)) as raw:
        pool = a_pool(raw)
        await pool.close()

        with pytest.raises(BackendFailed) as failed:
            await pool.connect(1)

    assert not failed.value.sent

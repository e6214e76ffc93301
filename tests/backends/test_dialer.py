from __future__ import annotations

import asyncio
import dataclasses
import socket

import pytest

from gateway.backends.dialer import Dialer
from gateway.backends.target import Target, target_of
from gateway.backends.wire import Wire
from gateway.domain.catalog import Backend
from gateway.domain.faults import BackendFailed, FailureKind
from tests.backends.asking import OK, an_upstream, failure, whole
from tests.backends.raw_server import a_raw_server, says


def a_wire() -> Wire:
    return Wire(lambda wire: None, lambda wire: None)


class Names(Dialer):
    """A dialer with a resolver of its own: the addresses in turn, and how often it was asked."""

    def __init__(self, target: Target, *addresses: str):
        super().__init__(target)
        self._answer = list(addresses)
        self.opened: list[str] = []

    async def _resolved(self) -> list[str]:
        return self._answer

    async def _connected(self, made, address):
        self.opened.append(address)
        if address == "hole":
            await asyncio.Event().wait()
        return await super()._connected(made, address)


async def test_the_next_address_is_tried_when_one_refuses_and_the_good_one_comes_first_from_then_on():
    async with a_raw_server(says()) as raw:
        dialer = Names(target_of(Backend("gpu-a", raw.url)), "127.0.0.2", "127.0.0.1")

        for _ in range(2):
            (await dialer.open(a_wire, 1)).abort()

        assert dialer.opened == ["127.0.0.2", "127.0.0.1", "127.0.0.1"]


async def test_an_address_that_swallows_everything_costs_its_share_and_not_the_service():
    async with a_raw_server(says()) as raw:
        dialer = Names(target_of(Backend("gpu-a", raw.url)), "hole", "127.0.0.1")
        began = asyncio.get_running_loop().time()

        (await dialer.open(a_wire, 0.4)).abort()

        assert asyncio.get_running_loop().time() - began < 0.35


@pytest.mark.parametrize("addresses", [("hole",), ("hole", "hole"), ("127.0.0.2",), ()])
async def test_no_address_that_answers_is_no_connection(addresses):
    async with a_raw_server(says()) as raw:
        with pytest.raises(BackendFailed) as failed:
            await Names(target_of(Backend("gpu-a", raw.url)), *addresses).open(a_wire, 0.1)

    assert (failed.value.kind, failed.value.sent) == (FailureKind.CONNECT, False)


async def test_a_name_that_no_one_knows_is_no_connection():
    target = dataclasses.replace(target_of(Backend("gpu-a", "http://127.0.0.1:1/v1")), host="nowhere.invalid")

    with pytest.raises(BackendFailed) as failed:
        await Dialer(target).open(a_wire, 5)

    assert (failed.value.kind, failed.value.sent) == (FailureKind.CONNECT, False)


async def test_a_socket_does_not_wait_for_more_and_notices_a_peer_that_vanished():
    async with a_raw_server(says()) as raw:
        wire = await Dialer(target_of(Backend("gpu-a", raw.url))).open(a_wire, 1)
        assert wire._transport is not None
        made = wire._transport.get_extra_info("socket")

        assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert made.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        wire.abort()


async def test_a_backend_at_an_ipv6_address_is_reached_and_named_in_brackets():
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(OK + b"content-length: 2\r\n\r\n{}")
        writer.close()

    try:
        server = await asyncio.start_server(serve, "::1", 0)
    except OSError:  # a machine without IPv6: then it is at least a plain refusal
        async with an_upstream("http://[::1]:9/v1") as up:
            assert (await failure(up)).kind is FailureKind.CONNECT
        return
    port = server.sockets[0].getsockname()[1]
    async with an_upstream(f"http://[::1]:{port}/v1") as up:
        assert await whole(up) == b"{}"
    server.close()

    assert f"host: [::1]:{port}\r\n".encode() in seen[0]

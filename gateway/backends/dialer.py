"""Opening connections to one backend."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable

from gateway.backends.target import Target
from gateway.backends.wire import Wire
from gateway.domain.faults import BackendFailed, FailureKind

ADDRESSES_SECONDS = 10.0  # how long the addresses of a name are believed: a burst asks DNS once
KEEPALIVE_PROBE_SECONDS = 30  # a peer that vanished without a FIN is noticed within about two minutes


class Dialer:
    """Tries each address of the target's name in turn, with its share of the time: one may be a black hole."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._asking = asyncio.Lock()
        self._addresses: list[str] = []
        self._stale_at = 0.0
        self._answered = ""  # the last address that did is tried first

    async def open(self, made: Callable[[], Wire], connect_s: float) -> Wire:
        """A connection, with TLS agreed where there is any. Raises BackendFailed (sent=False)."""
        try:
            async with asyncio.timeout(connect_s):
                return await self._first(made, asyncio.get_running_loop().time() + connect_s)
        except ssl.SSLError as fault:
            raise BackendFailed(FailureKind.CONNECT, "no connection: TLS failed", sent=False) from fault
        except TimeoutError as fault:
            raise BackendFailed(FailureKind.CONNECT, "no connection in time", sent=False) from fault
        except OSError as fault:
            raise BackendFailed(FailureKind.CONNECT, "no connection", sent=False) from fault

    async def _first(self, made: Callable[[], Wire], ends_at: float) -> Wire:
        loop = asyncio.get_running_loop()
        addresses = sorted(await self._resolved(), key=lambda address: address != self._answered)
        fault: OSError = OSError("the name has no address")
        for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
            try:
                async with asyncio.timeout((ends_at - loop.time()) / left):
                    wire = await self._connected(made, address)
            except ssl.SSLError:
                raise  # a host that can not prove itself: no other address of it is more trustworthy
            except OSError as refused:  # TimeoutError is one
                fault = refused
            else:
                self._answered = address
                return wire
        self._stale_at = 0.0
        raise fault

    async def _connected(self, made: Callable[[], Wire], address: str) -> Wire:
        target = self._target
        transport, wire = await asyncio.get_running_loop().create_connection(
            made,
            address,
            target.port,
            ssl=target.tls,
            server_hostname=None if target.tls is None else target.host.rstrip("."),
        )
        _make_watchful(transport.get_extra_info("socket"))
        return wire

    async def _resolved(self) -> list[str]:
        """The target's addresses, in the order the resolver prefers. Raises OSError."""
        loop = asyncio.get_running_loop()
        async with self._asking:
            if loop.time() >= self._stale_at:
                found = await loop.getaddrinfo(self._target.host, self._target.port, type=socket.SOCK_STREAM)
                self._addresses = list(dict.fromkeys(str(address[0]) for *_, address in found))
                self._stale_at = loop.time() + ADDRESSES_SECONDS
            return self._addresses


def _make_watchful(raw: socket.socket) -> None:
    """No waiting for more bytes to send, and a peer that vanished is noticed."""
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_PROBE_SECONDS)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_PROBE_SECONDS)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)

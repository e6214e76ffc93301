"""Opening connections to one backend."""

from __future__ import annotations

import asyncio
import socket
import ssl

from gateway.backends.target import Target
from gateway.backends.wire import Wire
from gateway.domain.faults import BackendFailed, FailureKind

ADDRESSES_SECONDS = 10.0  # how long the addresses of a name are believed: a burst asks DNS once


class Dialer:
    """Tries each address of the target's name in turn, with its share of the time: one may be a black hole."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._asking = asyncio.Lock()
        self._addresses: list[str] = []
        self._stale_at = 0.0
        self._answered = ""  # the last address that did is tried first

    async def connect(self, wire: Wire, connect_s: float) -> None:
        """Connected, with TLS agreed where there is any. Raises BackendFailed (sent=False)."""
        try:
            async with asyncio.timeout(connect_s):
                await self._first(wire, asyncio.get_running_loop().time() + connect_s)
        except ssl.SSLError as fault:
            raise BackendFailed(FailureKind.CONNECT, "no connection: TLS failed", sent=False) from fault
        except TimeoutError as fault:
            raise BackendFailed(FailureKind.CONNECT, "no connection in time", sent=False) from fault
        except OSError as fault:
            raise BackendFailed(FailureKind.CONNECT, "no connection", sent=False) from fault

    async def _first(self, wire: Wire, ends_at: float) -> None:
        loop = asyncio.get_running_loop()
        addresses = sorted(await self._resolved(), key=lambda address: address != self._answered)
        for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
            try:
                async with asyncio.timeout((ends_at - loop.time()) / left):
                    await self._open(wire, address)
            except ssl.SSLError:
                raise  # a host that can not prove itself: no other address of it is more trustworthy
            except OSError:  # TimeoutError is one
                if left == 1:
                    self._stale_at = 0.0
                    raise
            else:
                self._answered = address
                return

    async def _open(self, wire: Wire, address: str) -> None:
        target = self._target
        await asyncio.get_running_loop().create_connection(
            lambda: wire,
            address,
            target.port,
            ssl=target.tls,
            server_hostname=None if target.tls is None else target.host.rstrip("."),
        )

    async def _resolved(self) -> list[str]:
        """The target's addresses, in the order the resolver prefers. Raises OSError."""
        loop = asyncio.get_running_loop()
        async with self._asking:
            if loop.time() >= self._stale_at:
                found = await loop.getaddrinfo(self._target.host, self._target.port, type=socket.SOCK_STREAM)
                self._addresses = list(dict.fromkeys(str(address[0]) for *_, address in found))
                self._stale_at = loop.time() + ADDRESSES_SECONDS
            if not self._addresses:
                raise OSError("the name has no address")
            return self._addresses

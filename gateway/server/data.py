"""The data port: its socket, its beginning and its end. What happens to a request in between stands in door.py."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Final

from aiohttp import http_parser

from gateway.domain.tenancy import Identity
from gateway.ports.clock import Clock
from gateway.ports.identities import Identities
from gateway.ports.ledger import Ledger
from gateway.ports.policies import Policies
from gateway.ports.recorder import Recorder
from gateway.ports.signals import Signals
from gateway.server.door import SHUTTING_DOWN, Door, Serves
from gateway.server.head import Heads
from gateway.server.listener import Listener
from gateway.server.reads import Balances, Reads

BACKLOG: Final = 4096  # with asyncio's 100 a burst of new streams loses its SYNs and waits seconds
CONNECTIONS_MAX: Final = 16_384
CANCEL_SECONDS: Final = 0.1
HANDLERS_END_SECONDS: Final = 2.0


class DataServer:
    """Serves callers on one socket. `draining` is shared with the admin port's readiness."""

    def __init__(
        self,
        *,
        pipeline: Serves,
        identities: Identities,
        policies: Policies,
        ledger: Ledger,
        signals: Signals,
        recorder: Recorder,
        clock: Clock,
        new_id: Callable[[], str],
        root: Callable[[Identity], str],
        draining: asyncio.Event,
        balances: Balances | None = None,
        hosts: frozenset[str] = frozenset(),
        connections_max: int = CONNECTIONS_MAX,
        gateway: str = "",
    ):
        """root: an identity's tenancy root, as the ledger keys it. hosts: the allow-list for Host, empty for any."""
        self._signals = signals
        self._new_id = new_id
        self._draining = draining
        self._connections_max = connections_max
        self._heads = Heads(clock)
        self._door = Door(
            pipeline=pipeline,
            reads=Reads(policies=policies, ledger=ledger, root=root, balances=balances),
            identities=identities,
            policies=policies,
            signals=signals,
            recorder=recorder,
            clock=clock,
            heads=self._heads,
            new_id=new_id,
            draining=draining,
            hosts=hosts,
            gateway=gateway,
        )
        self._has_cut = False
        self.listener: Listener | None = None
        self._server: asyncio.Server | None = None

    async def start(
        self,
        host: str | None = None,
        port: int = 0,
        *,
        unix: str | None = None,
        sock: socket.socket | None = None,
        reuse_port: bool = False,
    ) -> tuple[str, int] | str:
        """Listen on a host and port, a Unix socket's path, or a socket already bound; returns where."""
        require_c_parser()
        loop = asyncio.get_running_loop()
        listener = self.listener = Listener(
            self._door.answer,
            heads=self._heads,
            signals=self._signals,
            new_id=self._new_id,
            connections_max=self._connections_max,
            loop=loop,
        )
        if unix is not None:
            self._server = await loop.create_unix_server(listener, unix, backlog=BACKLOG)
            return unix
        if sock is not None:
            self._server = await loop.create_server(listener, sock=sock, backlog=BACKLOG)
        else:
            self._server = await loop.create_server(
                listener, host, port, backlog=BACKLOG, reuse_port=reuse_port or None
            )
        return bound_address(self._server)

    async def drain(self, seconds: float) -> bool:
        """Accept nothing new, let running requests end for so long, then cut them. True: none had to be cut."""
        self._draining.set()
        if self._server is None or self.listener is None:
            return True
        self._server.close()
        self.listener.close_idle()
        for reply in self._door.open:
            reply.close_after()
        if self._door.open:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._door.quiet.wait(), seconds)
        await self.close()
        return not self._has_cut

    async def close(self) -> None:
        """Close every connection now. What still runs is cut, and its handler has ended when this returns."""
        if self._server is None or self.listener is None:
            return
        server, self._server = self._server, None
        self._draining.set()
        server.close()
        for reply in tuple(self._door.open):
            reply.cut(SHUTTING_DOWN)
            self._has_cut = True
        self.listener.stop_sweeping()
        await self.listener.shutdown(timeout=CANCEL_SECONDS)
        if self._door.open:  # aiohttp cancels handlers and does not wait for what they do at their end
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._door.quiet.wait(), HANDLERS_END_SECONDS)


def require_c_parser() -> None:
    """Refuse to run on aiohttp's Python parser: it is slower by far, and another reader of hostile framing."""
    if http_parser.HttpRequestParser is http_parser.HttpRequestParserPy:
        raise RuntimeError("aiohttp runs without its C parser (AIOHTTP_NO_EXTENSIONS?); joulegate refuses to serve so")


def bound_address(server: asyncio.Server) -> tuple[str, int] | str:
    """Where a server listens: host and port, or a path."""
    name = server.sockets[0].getsockname()
    return name if isinstance(name, str) else (str(name[0]), int(name[1]))

"""aiohttp's low-level server with our limits on connections.

RequestHandler reads heads, hands requests over one by one and cancels a handler whose caller has left. Added here:
a bound on connections, a time limit on heads (there is none in aiohttp), small kernel buffers, and errors of the
parser as our error body instead of a page of text and a log line that quotes the request.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web
from aiohttp.http import RawRequestMessage
from aiohttp.web_protocol import RequestHandler, RequestPayloadError

from gateway.domain.refusal import Refusal, RefusalCode
from gateway.ports.signals import Signals
from gateway.server.errors import render
from gateway.server.head import Heads
from gateway.server.reply import FINISHED

HEAD_SECONDS_MAX: Final = 10.0
KEEPALIVE_SECONDS: Final = 75.0
LINGER_SECONDS: Final = 2.0  # how long we read on after refusing a body, so that the caller gets to see the answer
READ_BUFFER_BYTES: Final = 64 * 1024
SEND_BUFFER_BYTES: Final = 128 * 1024  # a client that reads nothing holds this much in the kernel, not megabytes
SWEEP_SECONDS: Final = 1.0


class Connection(RequestHandler):
    """One client connection."""

    __slots__ = ("_heads_seen", "head_since", "listener")

    def __init__(self, listener: Listener, loop: asyncio.AbstractEventLoop):
        super().__init__(
            listener,
            loop=loop,
            keepalive_timeout=KEEPALIVE_SECONDS,
            access_log=None,  # type: ignore[arg-type]  # None turns it off, says aiohttp's own runner
            lingering_time=LINGER_SECONDS,
            read_bufsize=READ_BUFFER_BYTES,
            auto_decompress=False,
        )
        self.listener = listener
        self.head_since: float | None = None
        self._heads_seen = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note when the first head began, and turn away what is over the limit of connections."""
        super().connection_made(transport)
        self.head_since = self._loop.time()
        peer = transport.get_extra_info("socket")
        if peer is not None:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        if self.listener.is_full and self.transport is not None:
            self.listener.signals.refused("overloaded")
            self.transport.write(self.listener.full_answer)
            self.force_close()

    def data_received(self, data: bytes) -> None:
        """Parse; then remember since when an unfinished head is waiting, if one is."""
        super().data_received(data)
        if self._request_count != self._heads_seen:
            self._heads_seen = self._request_count
            self.head_since = None
            self._break_open_body()
        elif self.head_since is None and self.is_idle:
            self.head_since = self._loop.time()

    def _break_open_body(self) -> None:
        """Tell a handler that waits for a body whose framing broke: aiohttp only queues the fault behind it."""
        request = self._current_request
        if request is None or request.content.is_eof() or not self._messages:
            return
        if not isinstance(self._messages[-1][0], RawRequestMessage):
            request.content.set_exception(RequestPayloadError("the body's framing is broken"))

    @property
    def is_idle(self) -> bool:
        """Whether no request is being handled: aiohttp's loop waits for a head."""
        return self._waiter is not None and not self._waiter.done()

    def head_is_late(self, now: float) -> bool:
        """Whether a head has been under way for longer than we wait."""
        return self.is_idle and self.head_since is not None and now - self.head_since > HEAD_SECONDS_MAX

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """What the parser refused: 400 in our shape, and close. Nothing of the request is logged."""
        self.listener.signals.refused("framing")
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(self.listener.framing_answer())
        return FINISHED


class Listener(web.Server):
    """Accepts connections, and sweeps those whose head does not come."""

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        *,
        heads: Heads,
        signals: Signals,
        new_id: Callable[[], str],
        connections_max: int,
        loop: asyncio.AbstractEventLoop,
    ):
        super().__init__(handler, handler_cancellation=True, loop=loop)
        self.signals = signals
        self._heads = heads
        self._new_id = new_id
        self._connections_max = connections_max
        self._sweeper: asyncio.TimerHandle | None = loop.call_later(SWEEP_SECONDS, self._sweep)

    def __call__(self) -> Connection:
        """A protocol for one accepted connection."""
        return Connection(self, self._loop)

    @property
    def is_full(self) -> bool:
        """Whether there are more connections than allowed."""
        return len(self._connections) > self._connections_max

    @property
    def full_answer(self) -> bytes:
        """What a connection over the limit is told."""
        return self._closing(Refusal(RefusalCode.OVERLOADED, "Too many connections; please retry.", retry_after_s=1))

    def framing_answer(self) -> bytes:
        """What a head that is not HTTP is told."""
        return self._closing(
            Refusal(RefusalCode.INVALID_REQUEST, "This is not a well-formed HTTP request.", detail_code="bad_framing")
        )

    def close_idle(self) -> None:
        """Close connections that wait for a next request."""
        for connection in list(self._connections):
            if isinstance(connection, Connection) and connection.is_idle:
                connection.force_close()

    def stop_sweeping(self) -> None:
        """At the end of life."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None

    def sweep(self, now: float) -> None:
        """Close connections whose head has been under way for too long."""
        for connection in list(self._connections):
            if isinstance(connection, Connection) and connection.head_is_late(now):
                self.signals.refused("slow_head")
                connection.force_close()

    def _sweep(self) -> None:
        self.sweep(self._loop.time())
        self._sweeper = self._loop.call_later(SWEEP_SECONDS, self._sweep)

    def _closing(self, refusal: Refusal) -> bytes:
        status, headers, body = render(refusal)
        length = f"content-length: {len(body)}"
        return self._heads.build(status, headers, self._new_id(), framing=length, closing="connection: close") + body

"""The caller's connection, as the pipeline sees it (ports.Reply), on an aiohttp request.

Writes to the transport itself: one write for a whole answer, one for each chunk, no copy but the chunk's frame.
aiohttp keeps what it is good at: parsing, keep-alive, cancellation when the caller leaves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from gateway.domain.refusal import Refusal
from gateway.ports.reply import ClientGone
from gateway.ports.signals import Signals
from gateway.server.errors import render
from gateway.server.head import Heads

WRITE_SECONDS_MAX: Final = 60.0  # a client that takes nothing for this long is cut
_CLOSE = "connection: close"
_UNBUFFERED: Final = ("x-accel-buffering", "no")  # nginx would otherwise hold a stream back


class Written(web.StreamResponse):
    """What aiohttp is told of an answer we have written ourselves: only whether the connection may be used again."""

    def __init__(self, *, reusable: bool):
        super().__init__()
        self._keep_alive = reusable

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Nothing: the head is out."""
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing: the body is out."""


REUSABLE: Final = Written(reusable=True)
FINISHED: Final = Written(reusable=False)


class AiohttpReply:
    """One answer to one caller."""

    __slots__ = (
        "_chunked",
        "_ended",
        "_heads",
        "_http10",
        "_keep",
        "_request",
        "_signals",
        "_streaming",
        "cut_short",
        "request_id",
        "started",
    )

    def __init__(self, request: web.BaseRequest, heads: Heads, request_id: str, signals: Signals, *, keep: bool = True):
        self.started = False
        self.cut_short = False
        self.request_id = request_id
        self._request = request
        self._heads = heads
        self._signals = signals
        self._streaming = False
        self._http10 = request.version < (1, 1)
        self._keep = keep and request.keep_alive
        self._chunked = False
        self._ended = False

    def close_after(self) -> None:
        """Do not use the connection again after this answer: its framing is in doubt, or we are draining."""
        self._keep = False

    def closed(self) -> None:
        """The handler has ended, in whatever way."""
        if self._streaming:
            self._streaming = False
            self._signals.streams(-1)

    @property
    def outcome(self) -> Written:
        """What to return to aiohttp. An answer that was begun and not ended can only be cut."""
        if not self._ended:
            self.abort()
            return FINISHED
        return REUSABLE if self._keep else FINISHED

    async def send(self, status: int, headers: Sequence[tuple[str, str]], body: bytes) -> None:
        """A whole answer, in one write. Raises ClientGone."""
        self.started = True
        head = self._heads.build(
            status, headers, self.request_id, framing=f"content-length: {len(body)}", closing=self._closing()
        )
        self._put(head + body)
        self._ended = True
        await self._drained()

    async def refuse(self, refusal: Refusal, headers: Sequence[tuple[str, str]]) -> int:
        """Answer with an error; returns the status it was given. Raises ClientGone."""
        status, own, body = render(refusal)
        await self.send(status, [*headers, *own], body)
        return status

    async def begin(self, status: int, headers: Sequence[tuple[str, str]]) -> None:
        """Start a stream; the head goes out at once. Raises ClientGone."""
        self.started = True
        self._chunked = not self._http10
        self._keep = self._keep and self._chunked
        self._streaming = True
        self._signals.streams(1)
        framing = "transfer-encoding: chunked" if self._chunked else ""
        self._put(
            self._heads.build(
                status, [*headers, _UNBUFFERED], self.request_id, framing=framing, closing=self._closing()
            )
        )

    async def write(self, chunk: bytes) -> None:
        """Pass bytes on; waits while the client is slower than its buffer. Raises ClientGone."""
        if not chunk:
            return
        self._put(b"%x\r\n%b\r\n" % (len(chunk), chunk) if self._chunked else chunk)
        if self._request.protocol.writing_paused:
            await self._drained()

    async def end(self) -> None:
        """Finish a stream. Raises ClientGone."""
        if self._chunked:
            self._put(b"0\r\n\r\n")
        self._ended = True
        await self._drained()

    def abort(self) -> None:
        """Break off a stream: what was written still goes out, the last chunk that would end it does not."""
        transport = self._request.transport
        if transport is not None and not transport.is_closing():
            transport.close()
            if transport.get_write_buffer_size():
                asyncio.get_running_loop().call_later(WRITE_SECONDS_MAX, transport.abort)

    def cut(self, refusal: Refusal) -> None:
        """The time to drain is over. What has not begun is refused; a stream is broken off, and no event is added."""
        if self._ended:
            return
        self.cut_short = True
        transport = self._request.transport
        if transport is None or transport.is_closing():
            return
        if not self.started:
            status, headers, body = render(refusal)
            length = f"content-length: {len(body)}"
            transport.write(self._heads.build(status, headers, self.request_id, framing=length, closing=_CLOSE) + body)
        transport.close()

    def _closing(self) -> str:
        if not self._keep:
            return _CLOSE
        return "connection: keep-alive" if self._http10 else ""

    def _put(self, data: bytes) -> None:
        transport = self._request.transport
        if transport is None or transport.is_closing():
            raise ClientGone
        transport.write(data)

    async def _drained(self) -> None:
        """Wait until the client has taken enough; cut one that takes nothing for a minute."""
        if not self._request.protocol.writing_paused:
            return
        try:
            async with asyncio.timeout(WRITE_SECONDS_MAX):
                await self._request.writer.drain()
        except TimeoutError:
            transport = self._request.transport
            if transport is not None:
                transport.abort()
            raise ClientGone from None
        except ConnectionError:
            raise ClientGone from None

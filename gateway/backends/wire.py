"""One HTTP/1.1 connection to a backend: a request written at once, its answer handed over as it arrives.

One exchange at a time. Who uses it calls `exchange`, `read` until b"", and `release` in any case.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf
from typing import cast

from gateway.backends.reading import AnswerReader, BadAnswer
from gateway.backends.watch import Watch
from gateway.domain.catalog import Timeouts
from gateway.domain.faults import BackendFailed, FailureKind

HELD_BYTES_MAX = 64 * 1024  # a reader of ours that is further behind stops the backend, by TCP


class Wire(asyncio.Protocol):
    """`reader` has the answer's head. `idle` is called when another request may go, `lost` once when all is over."""

    def __init__(self, idle: Callable[[Wire], None], lost: Callable[[Wire], None]) -> None:
        self.idle_since = 0.0  # loop time; the pool's
        self.reader = AnswerReader()
        self._idle = idle
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._watch = Watch(self._loop, self._expire)
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._failure: BackendFailed | None = None
        self._held_bytes = 0
        self._paused = False
        self._head_wait_s = self._patience_s = self._idle_s = 0.0
        self._ends_at = inf

    @property
    def usable(self) -> bool:
        """Whether a request may be written: connected, and nothing has come that nobody asked for."""
        return self._transport is not None and self._failure is None and not self._transport.is_closing()

    async def exchange(self, head: bytes, body: bytes, timeouts: Timeouts, sent_at: float) -> None:
        """Write a request, return when its answer's head is here. Raises BackendFailed.

        `sent_at`: loop time at which the attempt began, from which first byte and total count.
        """
        transport = self._transport
        if transport is None or not self.usable:
            raise BackendFailed(FailureKind.CONNECT, "no connection", sent=False)
        self._head_wait_s = min(timeouts.first_byte_ms, timeouts.total_ms) / 1_000
        self._patience_s = timeouts.first_byte_ms / 1_000  # some servers send headers long before the first token
        self._idle_s = timeouts.idle_ms / 1_000
        self._ends_at = sent_at + timeouts.total_ms / 1_000
        self._held_bytes = 0
        reader = self.reader
        reader.begin()
        transport.write(head + body)
        while not reader.headed and self._failure is None:
            await self._arrival(sent_at + self._head_wait_s)
        if self._failure is not None:
            raise self._failure
        self._watch.set(self._ends_at)

    async def read(self) -> bytes:
        """What has arrived of the body, or the first that does; b"" at its end. Raises BackendFailed.

        Waiting here is timed as the backend's silence; a slow client of ours is not.
        """
        if self._nothing_yet():
            due = min(self._loop.time() + self._patience_s, self._ends_at)
            while self._nothing_yet():
                await self._arrival(due)
            self._watch.set(self._ends_at)
        return self._taken()

    def release(self) -> None:
        """The exchange is over: keep the connection if its answer came whole and nothing is in doubt, else cut it."""
        if self._spent():
            self.abort()
            return
        self._watch.set(inf)
        self._resume()
        self._idle(self)

    def abort(self) -> None:
        """End the connection now, whatever it still had to write: the backend shall stop generating."""
        self._watch.stop()
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop: connected, and TLS agreed where there is any."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but ancestry

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        reader = self.reader
        if self._failure is not None:
            return
        if reader.complete:
            self.abort()  # nobody asked for this
            return
        try:
            self._held_bytes += reader.feed(data)
        except BadAnswer as bad:
            self._fail(BackendFailed(FailureKind.PROTOCOL, bad.message, sent=True, status=bad.status))
            return
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        elif self._held_bytes > HELD_BYTES_MAX and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def eof_received(self) -> None:
        """Called by the loop: the peer closed its side, which ends an answer without a length. Ours is closed too."""
        if not self.reader.end():
            self._fail(self._cut_short())
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop, once."""
        self._watch.stop()
        if not self.reader.complete and self._failure is None:
            broke = BackendFailed(FailureKind.RESET, "the connection broke", sent=True)
            self._failure = self._cut_short() if exc is None else broke
        self._wake()
        self._transport = None
        self._lost(self)

    async def _arrival(self, due: float) -> None:
        self._watch.set(due)
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _spent(self) -> bool:
        """Whether anything speaks against another request; a reader that has not woken yet would take its bytes."""
        transport = self._transport
        return (
            transport is None
            or not self.reader.reusable
            or not self.usable
            or self._waiter is not None
            or transport.get_write_buffer_size() > 0
        )

    def _nothing_yet(self) -> bool:
        reader = self.reader
        return not reader.pieces and not reader.complete and self._failure is None

    def _taken(self) -> bytes:
        pieces = self.reader.pieces
        if not pieces:
            if self._failure is not None:
                raise self._failure
            return b""
        taken = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._held_bytes = 0
        self._patience_s = self._idle_s  # from the first bytes on, silence is judged by the idle limit
        self._resume()
        return taken

    def _resume(self) -> None:
        if self._paused and self._transport is not None and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _expire(self) -> None:
        if self.reader.complete:
            return  # only we are slow
        if not self.reader.headed:
            message = f"no answer within {self._head_wait_s:g} s"
        elif self._loop.time() >= self._ends_at:
            message = "the answer took longer than its total limit"
        else:
            message = f"silence for {self._patience_s:g} s"
        self._fail(BackendFailed(FailureKind.TIMEOUT, message, sent=True))

    def _fail(self, failure: BackendFailed) -> None:
        self._failure = self._failure or failure
        self.abort()
        self._wake()

    def _cut_short(self) -> BackendFailed:
        if self.reader.headed:
            return BackendFailed(FailureKind.PROTOCOL, "the answer was cut short", sent=True)
        return BackendFailed(FailureKind.RESET, "the connection was closed without an answer", sent=True)

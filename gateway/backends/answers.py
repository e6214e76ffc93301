"""An upstream's answer: its headers filtered, its body timed by a watch that costs next to nothing per chunk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import aiohttp

from gateway.backends.failures import CLIENT_FAULTS, failure_of
from gateway.domain.catalog import Timeouts
from gateway.domain.faults import BackendFailed, FailureKind

# All that may go down. Not set-cookie, server, via, the provider's organisation, nor its rate limits.
PASSED_HEADERS = ("content-type", "retry-after", "retry-after-ms")


class HttpAnswer:
    """An answer whose headers are here. `close` it in any case; `left` is called then, once.

    `sent_at`: loop time at which the attempt began, from which the total limit counts.
    """

    def __init__(
        self, response: aiohttp.ClientResponse, timeouts: Timeouts, sent_at: float, left: Callable[[], None]
    ) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = _passed(response)
        self._response = response
        self._content = response.content
        self._left: Callable[[], None] | None = left
        self._idle_s = timeouts.idle_ms / 1_000
        self._patience_s = timeouts.first_byte_ms / 1_000  # some servers send headers long before the first token
        self._loop = asyncio.get_running_loop()
        self._ends_at = sent_at + timeouts.total_ms / 1_000
        self._waiting_since: float | None = None
        self._expired: BackendFailed | None = None
        self._begun = False
        self._watch: asyncio.TimerHandle | None = None

    async def body(self, limit: int) -> bytes:
        """The whole body. Raises BackendFailed (sent=True) if cut short, silent too long, or above `limit` bytes."""
        declared = self._response.content_length
        if declared is not None and declared > limit:
            raise _too_large(limit)
        pieces, size = [], 0
        async for piece in self.chunks():
            pieces.append(piece)
            size += len(piece)
            if size > limit:
                raise _too_large(limit)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def chunks(self) -> HttpAnswer:
        """The body as it arrives: this answer is its own iterator."""
        return self

    def __aiter__(self) -> HttpAnswer:
        return self

    async def __anext__(self) -> bytes:
        """The bytes that have arrived, or the first that do; waiting for them is timed, a slow client is not."""
        if self._watch is None and not self._content.is_eof():
            self._arm()
        self._waiting_since = self._loop.time()
        try:
            chunk = await self._content.readany()
        except CLIENT_FAULTS as fault:
            raise self._expired or failure_of(fault, sent=True) from fault
        self._waiting_since = None
        if not self._begun:
            self._begin()
        if not chunk:
            raise StopAsyncIteration
        return chunk

    def close(self) -> None:
        """Free the connection: back to the pool when the body was read to its end, else closed at once."""
        left, self._left = self._left, None
        if left is None:
            return
        left()
        if self._watch is not None:
            self._watch.cancel()
        if not self._content.is_eof() or self._content.exception() is not None:
            self._sever()
        else:
            self._response.release()

    def _sever(self) -> None:
        """End the connection now, whatever it still had to write: the backend shall stop generating."""
        connection = self._response.connection
        transport = None if connection is None else connection.transport
        self._response.close()
        if transport is not None:
            transport.abort()

    def _begin(self) -> None:
        """The first bytes are here: from now on silence is judged by the idle limit."""
        self._begun = True
        self._patience_s = self._idle_s
        if self._watch is not None:
            self._watch.cancel()
            self._arm()

    def _arm(self) -> None:
        since = self._loop.time() if self._waiting_since is None else self._waiting_since
        self._watch = self._loop.call_at(min(since + self._patience_s, self._ends_at), self._look)

    def _look(self) -> None:
        """The watch rang: perhaps bytes have come since it was set, then it is set anew."""
        now = self._loop.time()
        if now >= self._ends_at:
            self._expire("the answer took longer than its total limit")
        elif self._waiting_since is not None and now >= self._waiting_since + self._patience_s:
            self._expire(f"silence for {self._patience_s:g} s")
        else:
            self._arm()

    def _expire(self, message: str) -> None:
        self._expired = BackendFailed(FailureKind.TIMEOUT, message, sent=True)
        self._sever()  # the waiting read fails with aiohttp's "Connection closed"


def _passed(response: aiohttp.ClientResponse) -> dict[str, str]:
    given = response.headers
    return {name: value for name in PASSED_HEADERS if (value := given.get(name)) is not None and value.isprintable()}


def _too_large(limit: int) -> BackendFailed:
    return BackendFailed(FailureKind.PROTOCOL, f"the answer is larger than {limit} bytes", sent=True)

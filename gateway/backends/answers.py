"""An upstream's answer: its headers filtered, its body as it arrives."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gateway.backends.wire import Wire
from gateway.domain.faults import BackendFailed, FailureKind


class HttpAnswer:
    """An answer whose headers are here. `close` it in any case; `left` is called then, once."""

    def __init__(self, wire: Wire, left: Callable[[], None]) -> None:
        self.status = wire.reader.status
        self.headers: Mapping[str, str] = wire.reader.headers
        self._wire = wire
        self._left: Callable[[], None] | None = left

    async def body(self, limit: int) -> bytes:
        """The whole body. Raises BackendFailed (sent=True) if cut short, silent too long, or above `limit` bytes."""
        self._must_be_open()
        if (self._wire.reader.length or 0) > limit:
            raise _too_large(limit)
        pieces, size = [], 0
        while piece := await self._wire.read():
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
        self._must_be_open()
        chunk = await self._wire.read()
        if not chunk:
            raise StopAsyncIteration
        return chunk

    def close(self) -> None:
        """Free the connection: back to the pool when the answer came to its end, else closed at once."""
        left, self._left = self._left, None
        if left is not None:
            left()
            self._wire.release()

    def _must_be_open(self) -> None:
        if self._left is None:  # by now the connection may carry another caller's answer
            raise BackendFailed(FailureKind.RESET, "the answer is closed", sent=True)


def _too_large(limit: int) -> BackendFailed:
    return BackendFailed(FailureKind.PROTOCOL, f"the answer is larger than {limit} bytes", sent=True)

"""A request's body, which knows whether it was sent."""

from __future__ import annotations

from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload


class JsonBody(Payload):
    """Bytes as they are. `sent`: aiohttp has begun to write them, so the backend may have seen and may bill them.

    (aiohttp's own BytesPayload warns of every body above 1 MiB; ours are bounded at the door.)
    """

    _value: bytes
    _autoclose = True

    def __init__(self, value: bytes) -> None:
        super().__init__(value, content_type="application/json")
        self._size = len(value)
        self.sent = False

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """The body as text."""
        return self._value.decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Called by aiohttp once a connection is there."""
        self.sent = True
        await writer.write(self._value)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Called by aiohttp once a connection is there; the length is always the body's."""
        await self.write(writer)

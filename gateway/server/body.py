"""Reads a request's body: bounded in size, in slowness and in what it may unpack to."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable
from typing import Final

from aiohttp import web
from aiohttp.web_protocol import RequestPayloadError

from gateway.domain.faults import InvalidRequest
from gateway.ports.reply import ClientGone

GRACE_S: Final = 5.0
BYTES_PER_S_MIN: Final = 1024  # after the grace; slower is a slow-loris, not a client
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class BodyReader:
    """Reads one body once. All its errors are InvalidRequest, but ClientGone for a connection that went away."""

    __slots__ = ("_close_after", "_content", "_encoding", "_expect", "_length", "_limit_bytes", "_request")

    def __init__(
        self,
        request: web.BaseRequest,
        found: dict[bytes, bytes],
        limit_bytes: int,
        close_after: Callable[[], None],
    ):
        """`close_after`: called when the body was not read to its end, so that the connection is not used again."""
        self._close_after = close_after
        self._request = request
        self._content = request.content
        self._limit_bytes = limit_bytes
        self._length = found.get(b"content-length")
        self._encoding = found.get(b"content-encoding", b"identity").strip().lower()
        self._expect = found.get(b"expect")

    async def read(self) -> bytes:
        """The whole body, unpacked."""
        try:
            return await self._read()
        except InvalidRequest:
            if not self._content.is_eof():
                self._close_after()
            raise

    async def _read(self) -> bytes:
        if self._encoding not in (b"identity", b"gzip"):
            raise InvalidRequest(
                "Content-Encoding must be identity or gzip.",
                param="content-encoding",
                code="unsupported_encoding",
                status=415,
            )
        if self._length is not None and int(self._length) > self._limit_bytes:
            raise too_large(self._limit_bytes)
        raw = self._content.read_nowait() if self._content.is_eof() else await self._receive()
        if len(raw) > self._limit_bytes:
            raise too_large(self._limit_bytes)
        if self._encoding == b"gzip":
            return await asyncio.to_thread(gunzip, raw, self._limit_bytes)
        return raw

    async def _receive(self) -> bytes:
        """Collect what is still under way. Each byte received moves the deadline by a fair share."""
        self._say_continue()
        loop = asyncio.get_running_loop()
        started, chunks, received = loop.time(), [], 0
        try:
            async with asyncio.timeout(GRACE_S) as limit:
                while chunk := await self._content.readany():
                    chunks.append(chunk)
                    received += len(chunk)
                    if received > self._limit_bytes:
                        raise too_large(self._limit_bytes)
                    limit.reschedule(started + GRACE_S + received / BYTES_PER_S_MIN)
        except TimeoutError:
            raise InvalidRequest("The body came too slowly.", code="request_timeout", status=408) from None
        except RequestPayloadError:
            raise InvalidRequest("The body's framing is broken.", code="bad_framing") from None
        except ConnectionError:
            raise ClientGone from None
        return b"".join(chunks)

    def _say_continue(self) -> None:
        """Answer `Expect: 100-continue` (curl sends it with large bodies and waits a second)."""
        if self._expect is None or self._request.version < (1, 1):
            return
        if self._expect.lower() != b"100-continue":
            raise InvalidRequest("Only 100-continue can be expected here.", param="expect", code="expectation_failed")
        transport = self._request.transport
        if transport is not None:
            transport.write(CONTINUE)


def too_large(limit_bytes: int) -> InvalidRequest:
    """The body passes `body_bytes`, as sent or unpacked."""
    return InvalidRequest(
        f"The body is larger than {limit_bytes} bytes (limit body_bytes).", code="request_too_large", status=413
    )


def gunzip(packed: bytes, limit_bytes: int) -> bytes:
    """Unpack one gzip member, never past the limit."""
    unpacker = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        body = unpacker.decompress(packed, limit_bytes + 1)
    except zlib.error:
        raise InvalidRequest("The body is not gzip.", param="content-encoding", code="invalid_gzip") from None
    if len(body) > limit_bytes:
        raise too_large(limit_bytes)
    if not unpacker.eof or unpacker.unused_data:
        raise InvalidRequest("The body is not one whole gzip member.", param="content-encoding", code="invalid_gzip")
    return body

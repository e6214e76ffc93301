"""An upstream that is only bytes: reads a request, writes what it is told to, and remembers what it saw."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class RawServer:
    """`seen`: every request, head and body. `connections`: how many were opened. `left`: set when a client closed."""

    port: int = 0
    seen: list[bytes] = field(default_factory=list)
    connections: int = 0
    left: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"


Script = Callable[[asyncio.StreamWriter], Awaitable[None]]


def says(*pieces: bytes, close: bool = True) -> Script:
    """Writes the pieces, each by itself, and closes or waits."""

    async def script(writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.005)
        if close:
            writer.close()

    return script


@asynccontextmanager
async def a_raw_server(script: Script) -> AsyncIterator[RawServer]:
    raw = RawServer()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raw.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                lines = head.lower().split(b"\r\n")
                length = next((int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:")), 0)
                raw.seen.append(head + await reader.readexactly(length))
                await script(writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            raw.left.set()
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    raw.port = server.sockets[0].getsockname()[1]
    try:
        yield raw
    finally:
        server.close()

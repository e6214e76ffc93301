"""A proxy that breaks what passes through it, on purpose: for tests of whatever talks to a server over TCP.

latency_s             each answer is held back that long
drop_reply_once       the next answer is swallowed and the connection reset: the server did it, the client can not know
refuse                new connections are closed at once
black_hole            connections that speak now fall silent for good, as when a firewall forgets them
reset_all()           every connection is cut
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self


class FaultProxy:
    """Listens on 127.0.0.1, forwards to a unix socket (a path) or a TCP port."""

    def __init__(self, target: str | int):
        self._target = target
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self.latency_s = 0.0
        self.drop_reply_once = False
        self.refuse = False
        self.black_hole = False
        self.accepted = 0

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    def reset_all(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, e: BaseException | None, at: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        self.reset_all()
        if self._serving:
            await asyncio.wait(self._serving)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        async with self._tracked(writer):
            if self.refuse:
                return
            with contextlib.suppress(OSError):
                far_reader, far_writer = await self._far_side()
                async with self._tracked(far_writer):
                    both = [
                        asyncio.create_task(self._pump(reader, far_writer, answers=False)),
                        asyncio.create_task(self._pump(far_reader, writer, answers=True)),
                    ]
                    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
                    for task in both:
                        task.cancel()
                    await asyncio.gather(*both, return_exceptions=True)

    async def _far_side(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._target, str):
            return await asyncio.open_unix_connection(self._target)
        return await asyncio.open_connection("127.0.0.1", self._target)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool) -> None:
        while data := await reader.read(65536):
            if self.black_hole:
                await asyncio.Event().wait()  # TCP loses nothing in the middle: this connection is dead from here on
            if answers and self.latency_s:
                await asyncio.sleep(self.latency_s)
            if answers and self.drop_reply_once:
                self.drop_reply_once = False
                return
            writer.write(data)
            await writer.drain()

    @contextlib.asynccontextmanager
    async def _tracked(self, writer: asyncio.StreamWriter) -> AsyncIterator[None]:
        self._writers.add(writer)
        try:
            yield
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

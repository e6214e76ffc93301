"""A load generator that is never the bottleneck: raw asyncio.Protocol on uvloop, requests prepared as bytes beforehand.

closed(requests, connections)     each connection sends its next request when the last is answered
paced(requests, rate)             requests leave on a schedule, whatever the answers do
streams(request, count)           so many streams at once, and how late each event came
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import cast

from benchmarks.wire import HEAD_END, LAST_CHUNK, STAMP, body_length, is_chunked, status_of

CONNECT_AT_ONCE = 50
ANSWER_SECONDS_MAX = 120.0
EXAMPLE_BYTES = 300


@dataclass(slots=True)
class Outcome:
    """What came back. Latencies and delays in seconds; `events` counts stamped stream events only."""

    answers: int = 0
    failures: int = 0
    failure: str = ""
    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)

    @property
    def events(self) -> int:
        """Stream events that arrived."""
        return len(self.delays)


class Connection(asyncio.Protocol):
    """One keep-alive connection; one request at a time."""

    def __init__(self, outcome: Outcome):
        self._outcome = outcome
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._answered: asyncio.Future[None] | None = None
        self._buffer = b""
        self._head = b""
        self._missing = 0
        self._sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but ancestry
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(ConnectionError(f"the connection was closed before the answer: {exc}"))

    def send(self, request: bytes) -> asyncio.Future[None]:
        """Write it; the future is done when the answer is whole."""
        self._answered = self._loop.create_future()
        self._head = self._buffer = b""
        self._sent = time.perf_counter()
        self._transport.write(request)
        return self._answered

    def close(self) -> None:
        """Hang up."""
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        if not self._head:
            data = self._buffer + data
            end = data.find(HEAD_END)
            if end < 0:
                self._buffer = data
                return
            self._head, data = data[:end], data[end + len(HEAD_END) :]
            self._buffer = b""
            self._missing = -1 if is_chunked(self._head) else body_length(self._head) or 0
        if self._missing < 0:
            self._stream(data)
        else:
            self._missing -= len(data)
            self._buffer += data if status_of(self._head) != 200 else b""
            if self._missing <= 0:
                self._finish()

    def _stream(self, data: bytes) -> None:
        now = time.monotonic_ns()
        seen = self._buffer + data
        last = 0
        for stamp in STAMP.finditer(seen):
            self._outcome.delays.append((now - int(stamp.group(1))) / 1e9)
            last = stamp.end()
        if seen.endswith(LAST_CHUNK):
            self._finish()
        else:
            self._buffer = seen[max(last, len(seen) - 64) :]  # a stamp, or the end, may straddle two reads

    def _finish(self) -> None:
        answered, self._answered = self._answered, None
        if answered is None or answered.done():
            return
        status = status_of(self._head)
        if status == 200:
            self._outcome.answers += 1
            self._outcome.latencies.append(time.perf_counter() - self._sent)
        else:
            self._outcome.failures += 1
            self._outcome.failure = f"{status}: {self._buffer[:EXAMPLE_BYTES].decode('utf-8', 'replace')}"
        answered.set_result(None)


class Load:
    """Asks one server at 127.0.0.1."""

    def __init__(self, port: int):
        self._port = port

    async def closed(self, requests: Sequence[bytes], connections: int) -> Outcome:
        """All requests, so many at a time."""
        outcome, waiting = Outcome(), iter(requests)
        opened = await self._open(connections, outcome)
        started = time.perf_counter()
        await asyncio.gather(*(self._drain(connection, waiting, outcome) for connection in opened))
        outcome.seconds = time.perf_counter() - started
        self._close(opened)
        return outcome

    async def paced(self, requests: Sequence[bytes], rate: float, connections: int) -> Outcome:
        """One request every 1/rate seconds on whichever connection is free."""
        outcome = Outcome()
        opened = await self._open(connections, outcome)
        free = list(opened)
        running: set[asyncio.Task[None]] = set()
        loop = asyncio.get_running_loop()

        async def ask(request: bytes, connection: Connection) -> None:
            await self._one(connection, request, outcome)
            free.append(connection)

        started = loop.time()
        for number, request in enumerate(requests):
            await asyncio.sleep(max(0.0, started + number / rate - loop.time()))
            while not free:
                await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            task = asyncio.ensure_future(ask(request, free.pop()))
            running.add(task)
            task.add_done_callback(running.discard)
        if running:
            await asyncio.wait(running)
        outcome.seconds = loop.time() - started
        self._close(opened)
        return outcome

    async def streams(self, request: bytes, count: int, ramp_s: float, outcome: Outcome | None = None) -> Outcome:
        """`count` streams, begun evenly over `ramp_s` seconds, each to its end. `outcome` may be watched meanwhile."""
        outcome = outcome or Outcome()
        opened = await self._open(count, outcome)

        async def begin(number: int, connection: Connection) -> None:
            await asyncio.sleep(ramp_s * number / count)
            await self._one(connection, request, outcome)

        started = time.perf_counter()
        await asyncio.gather(*(begin(number, connection) for number, connection in enumerate(opened)))
        outcome.seconds = time.perf_counter() - started
        self._close(opened)
        return outcome

    async def _drain(self, connection: Connection, waiting: Iterator[bytes], outcome: Outcome) -> None:
        for request in waiting:
            await self._one(connection, request, outcome)

    async def _one(self, connection: Connection, request: bytes, outcome: Outcome) -> None:
        try:
            await asyncio.wait_for(connection.send(request), ANSWER_SECONDS_MAX)
        except (ConnectionError, TimeoutError) as error:
            outcome.failures += 1
            outcome.failure = repr(error)

    async def _open(self, count: int, outcome: Outcome) -> list[Connection]:
        loop = asyncio.get_running_loop()
        opened: list[Connection] = []
        while len(opened) < count:
            some = min(CONNECT_AT_ONCE, count - len(opened))
            made = await asyncio.gather(
                *(loop.create_connection(lambda: Connection(outcome), "127.0.0.1", self._port) for _ in range(some))
            )
            opened.extend(protocol for _, protocol in made)
        return opened

    @staticmethod
    def _close(opened: Sequence[Connection]) -> None:
        for connection in opened:
            connection.close()

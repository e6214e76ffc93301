"""Upstream models over HTTP: implements ports.Upstreams, Upstream and Answer, on connections of our own.

Destinations come from configuration alone, headers are built and never copied, and nothing is followed: no redirect,
no cookie, no environment proxy, no compressed body. Each backend has a pool of its own, so that nothing of one
(connections, TLS settings, keys) can reach another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from gateway.backends.answers import HttpAnswer
from gateway.backends.heads import RequestHeads
from gateway.backends.pool import Pool
from gateway.backends.target import target_of
from gateway.domain.catalog import Backend, Timeouts
from gateway.domain.faults import BackendFailed, FailureKind

DRAIN_SECONDS = 900.0  # a backend taken out of the configuration may finish its longest stream


class HttpUpstreams:
    """All backends of the snapshot in force. `apply` at each reload; `close` at the end."""

    def __init__(self, *, drain_seconds: float = DRAIN_SECONDS) -> None:
        self._drain_seconds = drain_seconds
        self._upstreams: dict[str, HttpUpstream] = {}
        self._leaving: set[asyncio.Task[None]] = set()

    def get(self, backend: str) -> HttpUpstream:
        """The backend's upstream; KeyError for a name that no snapshot declared."""
        return self._upstreams[backend]

    def apply(self, backends: Mapping[str, Backend]) -> None:
        """Follow the configuration: new or changed backends get a new pool, old ones finish what they carry.

        Needs a running loop. Raises ValueError for a url, header or CA file of no use; then nothing has changed.
        """
        kept = {name: old for name, old in self._upstreams.items() if backends.get(name) == old.backend}
        made = {name: HttpUpstream(backend) for name, backend in backends.items() if name not in kept}
        gone = [old for name, old in self._upstreams.items() if name not in kept]
        self._upstreams = {**kept, **made}
        for old in gone:
            task = asyncio.get_running_loop().create_task(old.drain(self._drain_seconds))
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)

    async def close(self) -> None:
        """Close every connection, those of backends that are leaving too."""
        for task in tuple(self._leaving):
            task.cancel()
        await asyncio.gather(*self._leaving, return_exceptions=True)
        for upstream in self._upstreams.values():
            await upstream.close()
        self._upstreams = {}


class HttpUpstream:
    """One backend's connections. Needs a running loop. Raises ValueError for a url, header or CA file of no use."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        target = target_of(backend)
        self._heads = RequestHeads(backend, target)
        self._pool = Pool(target)
        self._loop = asyncio.get_running_loop()
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def in_flight(self) -> int:
        """Attempts whose answer is not closed yet."""
        return self._in_flight

    @property
    def connections(self) -> int:
        """Open ones, idle ones too; never more than `concurrent_max`."""
        return self._pool.open

    async def send(
        self, path: str, body: bytes, *, stream: bool, timeouts: Timeouts, traceparent: str | None, request_id: str
    ) -> HttpAnswer:
        """POST `body` to `url + path`; returns when the response headers are here. Raises BackendFailed."""
        if self._in_flight >= self.backend.concurrent_max:
            most = self.backend.concurrent_max
            raise BackendFailed(FailureKind.OVERLOADED, f"{most} requests are in flight already", sent=False)
        head = self._heads.head(
            path, stream=stream, body_bytes=len(body), request_id=request_id, traceparent=traceparent
        )
        self._enter()
        try:
            return await self._answered(head, body, timeouts)
        except BaseException:
            self._leave()
            raise

    async def _answered(self, head: bytes, body: bytes, timeouts: Timeouts) -> HttpAnswer:
        began = self._loop.time()
        wire = self._pool.pick()
        if wire is None:
            wire = await self._pool.connect(min(timeouts.connect_ms, timeouts.first_byte_ms, timeouts.total_ms) / 1_000)
        try:
            await wire.exchange(head, body, timeouts, began)
        except BaseException:
            wire.abort()
            raise
        return HttpAnswer(wire, self._leave)

    def _enter(self) -> None:
        self._in_flight += 1
        self._idle.clear()

    def _leave(self) -> None:
        self._in_flight -= 1
        if not self._in_flight:
            self._idle.set()

    async def drain(self, seconds: float) -> None:
        """Close when the last answer is, or when the time is up."""
        try:
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        except TimeoutError:
            pass
        finally:
            await self.close()

    async def close(self) -> None:
        """Close all connections, those in use too."""
        await self._pool.close()

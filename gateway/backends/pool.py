"""The connections of one backend: who is idle, and for how long.

No more are ever open than requests were in flight at once, since one is opened only when none is idle.
"""

from __future__ import annotations

import asyncio

from gateway.backends.dialer import Dialer
from gateway.backends.target import Target
from gateway.backends.wire import Wire
from gateway.domain.faults import BackendFailed, FailureKind

KEEPALIVE_SECONDS = 4.0  # shorter than uvicorn's 5 s, which most model servers run on: a reused socket is a live one


class Pool:
    """Last in, first out: the warmest connection carries the next request, and those not needed grow old."""

    def __init__(self, target: Target, *, keepalive_seconds: float = KEEPALIVE_SECONDS) -> None:
        self._dialer = Dialer(target)
        self._keepalive_seconds = keepalive_seconds
        self._loop = asyncio.get_running_loop()
        self._open: set[Wire] = set()
        self._idle: list[Wire] = []  # oldest first
        self._sweeping: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def open(self) -> int:
        """Connections, idle ones too."""
        return len(self._open)

    def pick(self) -> Wire | None:
        """An idle connection that is still good, no longer idle then."""
        while self._idle:
            wire = self._idle.pop()
            if wire.usable and self._loop.time() - wire.idle_since < self._keepalive_seconds:
                return wire
            wire.abort()
        return None

    async def connect(self, connect_s: float) -> Wire:
        """A new connection. Raises BackendFailed (sent=False)."""
        wire = await self._dialer.open(lambda: Wire(self._rest, self._forget), connect_s)
        if self._closed or not wire.usable:
            wire.abort()
            raise BackendFailed(FailureKind.CONNECT, "no connection", sent=False)
        self._open.add(wire)
        return wire

    async def close(self) -> None:
        """Cut every connection, those in use too."""
        self._closed = True
        if self._sweeping is not None:
            self._sweeping.cancel()
        for wire in tuple(self._open):
            wire.abort()
        await asyncio.sleep(0)  # the loop says goodbye to each

    def _rest(self, wire: Wire) -> None:
        if self._closed:
            wire.abort()
            return
        wire.idle_since = self._loop.time()
        self._idle.append(wire)
        if self._sweeping is None:
            self._sweeping = self._loop.call_later(self._keepalive_seconds, self._sweep)

    def _forget(self, wire: Wire) -> None:
        self._open.discard(wire)
        if wire in self._idle:
            self._idle.remove(wire)

    def _sweep(self) -> None:
        """Cut those that have been idle too long, and come again when the next one will be."""
        now = self._loop.time()
        while self._idle and now - self._idle[0].idle_since >= self._keepalive_seconds:
            self._idle.pop(0).abort()
        self._sweeping = None
        if self._idle:
            self._sweeping = self._loop.call_at(self._idle[0].idle_since + self._keepalive_seconds, self._sweep)

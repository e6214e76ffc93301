"""One connection speaking RESP2: commands out in batches, replies back in order."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Final, cast

from hiredis import HiredisError, Reader, pack_command

Part = str | bytes | int
LOOK_AGAIN_S: Final = 0.02  # for the loop to serve its sockets and for the server to get its turn on a busy core
STALLED_S: Final = 0.5  # the oldest command is overdue by this: nothing comes any more, the connection is given up


class ConnectionLost(Exception):
    """The connection ended; whether the server ran what was under way is unknown."""


def packed(*parts: Part) -> bytes:
    """A command as RESP."""
    command: tuple[Any, ...] = parts  # hiredis's stub knows only tuples of one
    resp: bytes = pack_command(command)
    return resp


class Wire(asyncio.Protocol):
    """Replies answer the oldest unanswered command. A command's deadline ends its wait, not its place."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._reader = Reader()
        self._outgoing: list[bytes] = []
        self._due: deque[tuple[asyncio.Future[object], float]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._looking_since: float | None = None  # something is overdue, and replies still come
        self._heard = False
        self.lost = False
        self.now = self._loop.time

    def send(self, command: bytes, deadline: float) -> asyncio.Future[object]:
        """The reply (a ReplyError is a reply). Raises ConnectionLost, or TimeoutError at `deadline` (loop time)."""
        reply: asyncio.Future[object] = self._loop.create_future()
        if self._due:
            self._give_up_if_stalled(self._loop.time())
        if self.lost:
            reply.set_exception(ConnectionLost("the connection is closed"))
            return reply
        if not self._outgoing:
            self._loop.call_soon(self._flush)
        self._outgoing.append(command)
        self._due.append((reply, deadline))
        if self._timer is None or deadline < self._timer.when():
            self._wake_at(deadline)
        return reply

    def abort(self, why: str) -> None:
        """Close at once; everything unanswered fails with ConnectionLost."""
        if self._transport is not None:
            self._transport.abort()
        self._end(why)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The loop's call: the connection stands."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transports are none by inheritance

    def data_received(self, data: bytes) -> None:
        """The loop's call: bytes came. Hands each whole reply to the command it answers."""
        self._heard = True
        self._reader.feed(data)
        try:
            while (reply := self._reader.gets()) is not False:
                if not self._due:
                    return self.abort("a reply without a command")
                waiting, _ = self._due.popleft()
                if not waiting.done():
                    waiting.set_result(reply)
        except HiredisError as broken:
            self.abort(f"not RESP: {broken}")

    def connection_lost(self, exc: Exception | None) -> None:
        """The loop's call: the connection is gone."""
        self._end(str(exc) if exc else "closed by Redis")

    def _flush(self) -> None:
        outgoing, self._outgoing = self._outgoing, []
        if self._transport is not None and not self.lost:
            self._transport.write(b"".join(outgoing))

    def _check(self) -> None:
        """Fail what is past its deadline, and wake for the next: one timer for all, as most are answered in time.

        It is Redis that has a deadline, not we: timers run before the sockets are served, so after a turn that was long
        our commands may not be sent, or their replies not be read. What is overdue is given up only after the loop
        has looked at the socket, and while replies keep coming only after `STALLED_S` of looking.
        """
        now = self._loop.time()
        if any(deadline <= now and not waiting.done() for waiting, deadline in self._due) and self._worth_a_look(now):
            self._heard = False
            self._timer = self._loop.call_later(LOOK_AGAIN_S, self._check)
            return
        self._timer = self._looking_since = None
        for waiting, deadline in self._due:
            if deadline <= now and not waiting.done():
                waiting.set_exception(TimeoutError())
        ahead = [deadline for waiting, deadline in self._due if not waiting.done()]
        if ahead:
            self._wake_at(min(ahead))
        self._give_up_if_stalled(now)

    def _worth_a_look(self, now: float) -> bool:
        if self._looking_since is None:
            self._looking_since = now
            return True
        return self._heard and now - self._looking_since < STALLED_S

    def _wake_at(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(deadline, self._check)

    def _give_up_if_stalled(self, now: float) -> None:
        if not self._due:
            return
        waiting, deadline = self._due[0]
        if waiting.done() and now - deadline > STALLED_S:  # done: `_check` has looked, or nobody waits
            self.abort("Redis went silent")

    def _end(self, why: str) -> None:
        if self.lost:
            return
        self.lost = True
        if self._timer is not None:
            self._timer.cancel()
        for waiting, _ in self._due:
            if not waiting.done():
                waiting.set_exception(ConnectionLost(why))
        self._due.clear()

"""A pipelined channel to Redis: all commands of one turn of the event loop go out in one write.

redis-py spends 130 to 270 us of CPU per call, and 0.3 s and 15 MiB on being imported; this spends about a tenth, with
the same meaning. One connection; replies come in the order of the commands. A call that was cancelled or has run out of
time leaves its place in the queue, so no reply ever reaches another call.

Every script may be repeated (idempotent by id), so a call whose reply was lost with the connection is sent again, at
most twice and within its deadline.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Sequence
from typing import Final

from hiredis import ReplyError

from gateway.domain.faults import LedgerUnavailable
from gateway.ledger.address import Address
from gateway.ledger.script import Script
from gateway.ledger.wire import ConnectionLost, Part, Wire, packed

DEADLINE_S: Final = 0.25
CONNECT_S: Final = 3.0
RESENDS_MOST: Final = 2
BACKOFF_FIRST_S: Final = 0.01
BACKOFF_MOST_S: Final = 1.0
FAILURES_UNTIL_DOWN: Final = 3  # after that many failed connects, calls are refused at once until one succeeds
MOVED_ON = ("READONLY", "LOADING", "MASTERDOWN")  # this server will not serve us now; another may stand behind the name


class ScriptChannel:
    """Calls scripts on one Redis or Valkey.

    scripts: loaded on every new connection. deadline_s: for each call, resending included; patience_s: how long of that
    a call waits for a connection, all of it if left out. Connects at the first call.
    """

    def __init__(
        self, url: str, scripts: Sequence[Script], *, deadline_s: float = DEADLINE_S, patience_s: float | None = None
    ):
        self._address = Address.of(url)
        self._scripts = tuple(scripts)
        self._deadline_s = deadline_s
        self._patience_s = deadline_s if patience_s is None else patience_s
        self._wire: Wire | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._failures = 0
        self._last_failure = "not connected yet"
        self._closed = False
        self.calls = 0
        self.resends = 0
        self.connects = 0

    async def call(self, script: Script, keys: Sequence[Part], args: Sequence[Part]) -> object:
        """Run a script and return its answer. Raises LedgerUnavailable: away, too slow, or the server refuses."""
        command = packed("EVALSHA", script.sha, len(keys), *keys, *args)
        wire = self._wire
        if wire is None or wire.lost:
            reply = await self._ask(command)
        else:  # as `_ask` does, in this coroutine
            self.calls += 1
            deadline = wire.now() + self._deadline_s
            try:
                reply = await wire.send(command, deadline)
            except ConnectionLost as lost:
                reply = await self._ask(command, lost=lost, deadline=deadline)
            except TimeoutError:
                raise self._late() from None
        if not isinstance(reply, ReplyError):
            return reply
        if str(reply).startswith("NOSCRIPT"):  # a restart, or SCRIPT FLUSH
            reply = await self._ask(command, first=packed("SCRIPT", "LOAD", script.text))
        return self._checked(reply)

    async def command(self, *parts: Part) -> object:
        """Any command that may be repeated. Raises LedgerUnavailable."""
        return self._checked(await self._ask(packed(*parts)))

    async def connect(self) -> None:
        """Wait for a connection, `CONNECT_S` at most. Raises LedgerUnavailable."""
        await self._connected(asyncio.get_running_loop().time() + CONNECT_S, patient=True)

    async def close(self) -> None:
        """Close the connection; calls under way fail."""
        self._closed = True
        if self._connecting is not None:
            self._connecting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._connecting
        if self._wire is not None:
            self._wire.abort("closed")
            self._wire = None

    async def _ask(
        self,
        command: bytes,
        *,
        first: bytes | None = None,
        lost: ConnectionLost | None = None,
        deadline: float | None = None,
    ) -> object:
        """first: sent right before. lost: how the first attempt ended, which had this `deadline`."""
        loop = asyncio.get_running_loop()
        attempts = range(1 + RESENDS_MOST)
        if lost is None:
            self.calls += 1
        else:
            attempts = attempts[1:]
            self._last_failure = str(lost)
            self.resends += 1
        if deadline is None:
            deadline = loop.time() + self._deadline_s
        for attempt in attempts:
            wire = self._wire
            if wire is None or wire.lost:
                wire = await self._connected(min(deadline, loop.time() + self._patience_s))
            try:
                if first is not None:
                    wire.send(first, deadline).add_done_callback(_heard)
                return await wire.send(command, deadline)
            except ConnectionLost as lost:
                self._last_failure = str(lost)
                self.resends += attempt < RESENDS_MOST
            except TimeoutError:
                raise self._late() from None
        raise LedgerUnavailable(f"the connection to Redis was lost {1 + RESENDS_MOST} times: {self._last_failure}")

    def _late(self) -> LedgerUnavailable:
        return LedgerUnavailable(f"no answer from Redis within {self._deadline_s * 1e3:.0f} ms")

    def _checked(self, reply: object) -> object:
        if not isinstance(reply, ReplyError):
            return reply
        message = str(reply)
        if message.startswith(MOVED_ON) and self._wire is not None:
            self._wire.abort(message)
        raise LedgerUnavailable(f"Redis refused: {message}")

    async def _connected(self, deadline: float, *, patient: bool = False) -> Wire:
        if self._closed:
            raise LedgerUnavailable("the ledger is closed")
        loop = asyncio.get_running_loop()
        while self._wire is None or self._wire.lost:
            if self._connecting is None or self._connecting.done():
                self._connecting = loop.create_task(self._keep_connecting())
            left = deadline - loop.time()
            if left <= 0 or (self._failures >= FAILURES_UNTIL_DOWN and not patient):
                raise LedgerUnavailable(f"no connection to Redis at {self._address}: {self._last_failure}")
            await asyncio.wait({self._connecting}, timeout=left)
        return self._wire

    async def _keep_connecting(self) -> None:
        """Try until connected; waits twice as long after each failure, with jitter, up to a second."""
        wait_s = BACKOFF_FIRST_S
        while not self._closed:
            try:
                async with asyncio.timeout(CONNECT_S):
                    self._wire = await self._open()
            except (OSError, TimeoutError, ConnectionLost, ReplyError) as failure:
                self._failures += 1
                self._last_failure = str(failure) or type(failure).__name__
                await asyncio.sleep(wait_s * random.uniform(0.5, 1.0))  # noqa: S311 (jitter, not a secret)
                wait_s = min(wait_s * 2, BACKOFF_MOST_S)
            else:
                self._failures = 0
                self.connects += 1
                return

    async def _open(self) -> Wire:
        wire = await self._address.open()
        deadline = asyncio.get_running_loop().time() + CONNECT_S
        try:
            greeting = [
                *self._address.greeting(),
                ("PING",),
                *(("SCRIPT", "LOAD", script.text) for script in self._scripts),
            ]
            for reply in await asyncio.gather(*(wire.send(packed(*command), deadline) for command in greeting)):
                if isinstance(reply, ReplyError):
                    raise reply
        except BaseException:
            wire.abort("greeting failed")
            raise
        return wire


def _heard(reply: asyncio.Future[object]) -> None:
    """Take note of a failure that the next reply on the same wire reports as well."""
    if not reply.cancelled():
        reply.exception()

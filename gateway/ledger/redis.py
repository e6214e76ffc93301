"""The ledger on Redis or Valkey: holds and counters behind `ports.Ledger`. Here lives the flow; the rules are Lua."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Final, cast

from gateway.domain.amounts import Amounts
from gateway.domain.budgets import Ask, Candidate, Denial, Hold, Stale
from gateway.domain.faults import JoulegateError, LedgerUnavailable
from gateway.domain.tenancy import ID_PATTERN
from gateway.ledger.backlog import Backlog
from gateway.ledger.channel import DEADLINE_S, ScriptChannel
from gateway.ledger.codec import (
    Argument,
    Library,
    amounts_text,
    in_current_windows,
    member_of,
    prefix_of,
    reserve_arguments,
    verdict_of,
)
from gateway.ledger.script import Script, load_script

ROOTS_KEY: Final = "jg:roots"
SAMPLE_S: Final = 5.0  # how often Redis's time and eviction policy are looked at
SWEEP_S: Final = 5.0
SWEPT_MOST: Final = 100  # holds ended by one call, so that none blocks Redis for long
DRAIN_S: Final = 5.0
MISTIMED: Final = frozenset({"future", "forgotten"})
BOOKED: Final = frozenset({b"OK", b"SAME"})


log = logging.getLogger(__name__)


class LedgerMisconfigured(JoulegateError):
    """This Redis may forget counters by itself, so no budget can be enforced on it."""


class RedisLedger:
    """Implements ports.Ledger. Call `start` before use and `close` at the end.

    url: redis://, rediss:// or unix://. deadline_s: for each step. sweep_s: how often due holds of all roots are ended.
    observe: told each step's verb and seconds. monotonic: seconds, for the time between two samples of Redis's clock.

    For metrics: calls, seconds, holds_expired, conflicts, stale, unsettled(), unsettled_dropped.
    """

    def __init__(
        self,
        url: str,
        *,
        deadline_s: float = DEADLINE_S,
        sweep_s: float = SWEEP_S,
        observe: Callable[[str, float], None] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ):
        self._reserve, self._settle, self._release, self._expire = (
            load_script(verb) for verb in ("reserve_hold", "settle_hold", "release_hold", "expire_holds")
        )
        scripts = (self._reserve, self._settle, self._release, self._expire)
        self.channel = ScriptChannel(url, scripts, deadline_s=deadline_s)
        self._sweep_s = sweep_s
        self._observe = observe
        self._monotonic = monotonic
        self._library = Library()
        self._backlog = Backlog()
        self._roots: set[str] = set()
        self._offset_ms: float | None = None
        self._unsafe: str | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.calls = 0
        self.seconds = 0.0
        self.holds_expired = 0
        self.conflicts = 0
        self.stale = 0

    @property
    def unsettled_dropped(self) -> int:
        """Ends of holds that were given up because too many were waiting; their leases charge the watermark."""
        return self._backlog.dropped

    def unsettled(self) -> int:
        """Ends of holds that wait for Redis to come back."""
        return len(self._backlog)

    async def start(self) -> None:
        """Connect, learn the time, begin to sweep. Raises LedgerUnavailable, or LedgerMisconfigured with the remedy."""
        await self.channel.connect()
        await self._sample()
        if self._unsafe is not None:
            await self.channel.close()
            raise LedgerMisconfigured(self._unsafe)
        for each in (self._every(SAMPLE_S, self._sample), self._every(self._sweep_s, self.sweep)):
            self._tasks.append(asyncio.get_running_loop().create_task(each, name="ledger-upkeep"))

    async def close(self) -> None:
        """Book what still waits, for a few seconds at most, and disconnect."""
        await self._backlog.close(DRAIN_S)
        if len(self._backlog):
            log.error(
                "%d ends of holds could not be booked; their leases will charge the watermark", len(self._backlog)
            )
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.channel.close()

    def now_ms(self) -> int:
        """Redis's time: the last sample plus our monotonic clock. Raises LedgerUnavailable before `start`."""
        if self._offset_ms is None:
            raise LedgerUnavailable("Redis's time is not known yet")
        return int(self._monotonic() * 1_000 + self._offset_ms)

    async def reserve(self, ask: Ask) -> Hold | Denial | Stale:
        """Hold the first candidate that fits. A window that just ended is replaced by the current one, once."""
        if self._unsafe is not None:
            raise LedgerUnavailable(self._unsafe)
        if ask.root not in self._roots:
            await self.channel.command("SADD", ROOTS_KEY, ask.root)
            self._roots.add(ask.root)
        verdict = await self._try_reserve(ask)
        if verdict is None:
            await self._sample()
            verdict = await self._try_reserve(in_current_windows(ask, self.now_ms()))
        if verdict is None:
            raise LedgerUnavailable("Redis's clock and ours do not agree on the current window")
        if isinstance(verdict, Stale):
            self.stale += 1
            if verdict.reason in MISTIMED:  # our idea of Redis's time may be wrong: a failover, a clock set anew
                await self._sample()
        return verdict

    async def settle(
        self, hold: Hold, spent: Amounts, basis: str, *, summary: bytes = b"", alias: str | None = None
    ) -> bool:
        """Book `spent`. When Redis is away (this raises) or we are cancelled, it is booked later in the background."""
        request_id, key_id = hold.request_id, hold.key_id
        prefix, member = prefix_of(hold.root), member_of(request_id, hold.attempt)
        other = _summary_key(key_id, alias) if alias and alias != request_id and ID_PATTERN.match(alias) else ""
        args = (prefix, member, amounts_text(spent), str(basis))
        found = (summary, _summary_key(key_id, request_id), other)
        try:
            return await self._book(args, found, hold.candidate)
        except (LedgerUnavailable, asyncio.CancelledError):
            self._backlog.add(partial(self._book, args, found, hold.candidate))
            raise

    async def release(self, hold: Hold, reason: str) -> None:
        """End a hold that cost nothing; tried again in the background like `settle`."""
        prefix, member = prefix_of(hold.root), member_of(hold.request_id, hold.attempt)
        args = (prefix, member, str(reason).replace(" ", "_"))
        try:
            await self._give_back(args)
        except (LedgerUnavailable, asyncio.CancelledError):
            self._backlog.add(partial(self._give_back, args))
            raise

    async def find(self, root: str, key_id: str, request_id: str) -> bytes | None:
        """The summary of a request of that key, by its own id or its alias."""
        prefix = prefix_of(root)
        found = await self.channel.command("GET", prefix + _summary_key(key_id, request_id))
        if isinstance(found, bytes) and found.startswith(b">"):
            found = await self.channel.command("GET", prefix + found[1:].decode())
        return cast(bytes | None, found)

    async def sweep(self) -> None:
        """End every due hold of every root that any gateway has used."""
        if self._roots:
            await self.channel.command("SADD", ROOTS_KEY, *self._roots)
        for root in cast(list[bytes], await self.channel.command("SMEMBERS", ROOTS_KEY)):
            prefix = prefix_of(root.decode())
            ended = SWEPT_MOST
            while ended == SWEPT_MOST:
                ended = cast(int, await self._timed(self._expire, prefix + "l", (prefix, SWEPT_MOST)))
                self.holds_expired += ended

    async def _try_reserve(self, ask: Ask) -> Hold | Denial | Stale | None:
        first = ask.candidates[0].counters
        book = self._library.of(first)
        books = [book if each.counters is first else self._library.of(each.counters) for each in ask.candidates]
        prefix, member = prefix_of(ask.root), member_of(ask.request_id, ask.attempt)
        args = reserve_arguments(prefix, member, ask, books)
        reply = await self._timed(self._reserve, f"{prefix}r:{member}", args)
        verdict, reaped = verdict_of(reply, ask, books)
        self.holds_expired += reaped
        return verdict

    async def _book(self, args: tuple[str, ...], found: tuple[bytes, str, str], candidate: Candidate) -> bool:
        row = f"{args[0]}r:{args[1]}"
        answer = await self._timed(self._settle, row, (*args, "", *found))
        if answer == b"ABSENT":  # Redis lost the row: book it from what we know
            answer = await self._timed(self._settle, row, (*args, self._library.of(candidate.counters).plan, *found))
        self._count(answer)
        return answer in BOOKED

    async def _give_back(self, args: tuple[str, ...]) -> None:
        self._count(await self._timed(self._release, f"{args[0]}r:{args[1]}", args))

    async def _timed(self, script: Script, key: str, args: Sequence[Argument]) -> object:
        started = self._monotonic()
        try:
            return await self.channel.call(script, (key,), args)
        finally:
            took = self._monotonic() - started
            self.calls += 1
            self.seconds += took
            if self._observe is not None:
                self._observe(script.name.partition("_")[0], took)

    def _count(self, answer: object) -> None:
        self.conflicts += answer == b"CONFLICT"
        self.stale += answer == b"STALE"

    async def _sample(self) -> None:
        """Look at Redis's clock, half a round trip ago, and at whether it may evict."""
        started = self._monotonic()
        seconds, micros = cast(list[bytes], await self.channel.command("TIME"))
        middle_ms = (started + self._monotonic()) * 500
        self._offset_ms = int(seconds) * 1_000 + int(micros) / 1_000 - middle_ms
        memory = cast(bytes, await self.channel.command("INFO", "memory")).decode()
        policy = dict(line.split(":", 1) for line in memory.splitlines() if ":" in line).get(
            "maxmemory_policy", "noeviction"
        )
        self._unsafe = (
            None
            if policy == "noeviction"
            else (
                f"Redis has maxmemory-policy {policy}: it may drop a counter, and with it a budget, without a word. "
                "Set `maxmemory-policy noeviction` on it (redis.conf, or CONFIG SET maxmemory-policy noeviction)."
            )
        )

    async def _every(self, period_s: float, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        while True:
            await asyncio.sleep(period_s)
            with contextlib.suppress(LedgerUnavailable):  # the next reserve says so to a caller
                await work()


def _summary_key(key_id: str, request_id: str) -> str:
    return f"u:{key_id}:{request_id}"

"""The ledger as a state machine: any steps, repeated and out of order, against a model of a few dicts."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from gateway.domain.budgets import Ask, Denial, Hold, Stale
from tests.ledger.house import MemoryWorld, World, a_counter, redis_world, some

LIMIT = 1_000
T = TypeVar("T")
USD = st.integers(0, 400)


@dataclass
class Attempt:
    """What the model knows of one attempt."""

    ask: Ask
    state: str  # held, denied, settled, released, expired
    held: int = 0
    spent: int = 0


class LedgerMachine(RuleBasedStateMachine):
    """On memory. `spent` of the model is the sum of what each attempt finally cost, `held` of what is still open."""

    attempts = Bundle("attempts")
    runner: asyncio.Runner
    world: World

    @initialize()
    def begin(self) -> None:
        self.runner = asyncio.Runner()
        self.world = self.run_here(self.open())
        self.known: list[Attempt] = []
        self.budget, self.tally = a_counter(usd=LIMIT), a_counter("team:t")
        self.overshoot = 0

    async def open(self) -> World:
        return MemoryWorld()

    async def shut(self) -> None:
        """Nothing to close."""

    def run_here(self, step: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(step)

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            self.run_here(self.shut())
            self.runner.close()

    @rule(target=attempts, usd=USD, watermark=st.integers(0, 50), dies=st.booleans())
    def reserve(self, usd: int, watermark: int, dies: bool) -> Attempt:
        """`dies`: its gateway is never heard of again before the lease has ended."""
        ask = self.world.ask(
            self.budget, self.tally, usd=usd, watermark=some(watermark), lease_ms=1 if dies else 60_000
        )
        fits = self.total("spent") + self.total("held") + usd <= LIMIT
        verdict = self.run_here(self.world.ledger.reserve(ask))
        assert isinstance(verdict, Hold if fits else Denial)
        attempt = Attempt(ask, "held" if fits else "denied", held=usd if fits else 0)
        self.known.append(attempt)
        if dies:
            self.run_here(self.let_it_expire())
            if fits:
                attempt.state, attempt.held, attempt.spent = "expired", 0, watermark
                self.overshoot += max(0, watermark - usd)
        return attempt

    async def let_it_expire(self) -> None:
        await self.world.pass_ms(2)
        await self.world.ledger.sweep()

    @rule(attempt=attempts)
    def reserve_again(self, attempt: Attempt) -> None:
        verdict = self.run_here(self.world.ledger.reserve(attempt.ask))
        expected = {"held": Hold, "denied": Denial}.get(attempt.state, Stale)
        assert isinstance(verdict, expected)

    @rule(attempt=attempts, usd=USD, times=st.integers(1, 3))
    def settle(self, attempt: Attempt, usd: int, times: int) -> None:
        answers = {self.run_here(self.world.ledger.settle(self.hold_of(attempt), some(usd), "p")) for _ in range(times)}
        if attempt.state in ("held", "expired"):
            self.overshoot += max(0, usd - attempt.held)
            attempt.state, attempt.held, attempt.spent = "settled", 0, usd
            assert answers == {True}
        else:
            assert answers == {attempt.state == "settled" and attempt.spent == usd}

    @rule(attempt=attempts, times=st.integers(1, 3))
    def release(self, attempt: Attempt, times: int) -> None:
        for _ in range(times):
            self.run_here(self.world.ledger.release(self.hold_of(attempt), "unsent"))
        if attempt.state in ("held", "expired"):
            attempt.state, attempt.held, attempt.spent = "released", 0, 0

    @rule()
    def sweep(self) -> None:
        self.run_here(self.world.ledger.sweep())

    @invariant()
    def counters_are_the_sum_of_what_each_attempt_cost_and_holds(self) -> None:
        if not hasattr(self, "known"):
            return
        expected = (self.total("spent"), self.total("held"))
        assert self.run_here(self.world.usd(self.budget)) == expected
        assert self.run_here(self.world.usd(self.tally)) == (expected[0], 0)
        assert sum(expected) <= LIMIT + self.overshoot

    def total(self, what: str) -> int:
        return sum(getattr(attempt, what) for attempt in self.known)

    def hold_of(self, attempt: Attempt) -> Hold:
        ask = attempt.ask
        return Hold(ask.root, ask.request_id, ask.attempt, 0, ask.candidates[0], ask.key_id)


class ValkeyMachine(LedgerMachine):
    """The same on a real server, whose clock is real too."""

    url: ClassVar[str]

    async def open(self) -> World:
        self._opened = redis_world(self.url)
        return await self._opened.__aenter__()

    async def shut(self) -> None:
        if hasattr(self, "_opened"):
            await self._opened.__aexit__(None, None, None)


TestOnMemory = LedgerMachine.TestCase
TestOnMemory.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_on_valkey(valkey_url: str) -> None:
    class Here(ValkeyMachine):
        url = valkey_url

    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


@pytest.mark.redis
def test_on_debian_redis(debian_redis_url: str) -> None:
    test_on_valkey(debian_redis_url)

"""What only a real server can show: faults, two processes, and that entries add up to counters."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from gateway.domain.amounts import Unit
from gateway.domain.budgets import Candidate, Counter, Denial, Hold, Stale, WindowKind
from gateway.domain.faults import LedgerUnavailable
from gateway.ledger.channel import ScriptChannel
from gateway.ledger.codec import UNITS, prefix_of
from gateway.ledger.embedded import EmbeddedValkey
from gateway.ledger.redis import LedgerMisconfigured, RedisLedger
from gateway.policy.windows import span
from tests.faultproxy import FaultProxy
from tests.ledger.house import TOTAL, RedisWorld, World, a_counter, redis_world, socket_of, some

CONTENDER = "tests.ledger.contender"


async def test_a_lost_reply_to_reserve_or_settle_counts_once(valkey_url: str) -> None:
    budget = a_counter(usd=100)
    async with FaultProxy(str(socket_of(valkey_url))) as proxy, redis_world(_at(proxy)) as world:
        await world.hold(budget, usd=1)  # its root is known now

        proxy.drop_reply_once = True
        hold = await world.hold(budget, usd=30)
        proxy.drop_reply_once = True
        await world.ledger.settle(hold, some(12), "provider")

        assert proxy.accepted == 3
        assert await world.usd(budget) == (12, 1)


async def test_settles_wait_while_redis_is_away_and_are_booked_when_it_is_back(valkey_url: str) -> None:
    budget = a_counter(usd=100)
    async with FaultProxy(str(socket_of(valkey_url))) as proxy, redis_world(_at(proxy), deadline_s=0.2) as world:
        settled, released = await world.hold(budget, usd=30), await world.hold(budget, usd=20)
        proxy.refuse = True
        proxy.reset_all()

        with pytest.raises(LedgerUnavailable):
            await world.ledger.settle(settled, some(12), "provider")
        with pytest.raises(LedgerUnavailable):
            await world.ledger.release(released, "unsent")
        assert world.redis_ledger.unsettled() == 2
        proxy.refuse = False
        await _until(lambda: world.redis_ledger.unsettled() == 0)

        assert await world.usd(budget) == (12, 0)


async def test_a_settle_cancelled_half_way_is_booked_all_the_same(valkey_url: str) -> None:
    budget = a_counter(usd=100)
    async with FaultProxy(str(socket_of(valkey_url))) as proxy, redis_world(_at(proxy)) as world:
        hold = await world.hold(budget, usd=30)
        proxy.latency_s = 0.02
        settling = asyncio.create_task(world.ledger.settle(hold, some(12), "provider"))
        await asyncio.sleep(0)
        settling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await settling

        await _until(lambda: world.redis_ledger.unsettled() == 0)

        assert await world.usd(budget) == (12, 0)


async def test_a_slow_redis_is_unavailable_within_the_deadline(valkey_url: str) -> None:
    async with FaultProxy(str(socket_of(valkey_url))) as proxy, redis_world(_at(proxy), deadline_s=0.25) as world:
        await world.hold(a_counter())
        proxy.latency_s = 1.0
        began = time.monotonic()

        with pytest.raises(LedgerUnavailable, match="250 ms"):
            await world.ledger.reserve(world.ask(a_counter()))

        assert time.monotonic() - began < 0.9


async def test_scripts_flushed_in_the_middle_change_nothing(on_valkey: RedisWorld) -> None:
    budget = a_counter(usd=100)
    hold = await on_valkey.hold(budget, usd=30)
    await on_valkey.redis_ledger.channel.command("SCRIPT", "FLUSH")

    await on_valkey.ledger.settle(hold, some(12), "provider")

    assert await on_valkey.usd(budget) == (12, 0)


async def test_holds_and_counters_survive_a_killed_server(tmp_path: Path) -> None:
    budget = a_counter(usd=100)
    server = EmbeddedValkey(tmp_path)
    server.start()
    try:
        async with redis_world(server.url) as world:
            hold = await world.hold(budget, usd=30)
            await world.ledger.settle(await world.hold(budget, usd=30), some(7), "provider")
            server.stop()
            server.start()

            assert await world.ledger.settle(hold, some(12), "provider")

            assert await world.usd(budget) == (19, 0)
    finally:
        server.stop()


async def test_a_redis_that_may_evict_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path) as server:
        channel = ScriptChannel(server.url, ())
        await channel.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        await channel.close()

        with pytest.raises(LedgerMisconfigured, match=r"allkeys-lru.*noeviction"):
            await RedisLedger(server.url).start()


async def test_a_redis_out_of_memory_refuses_reserves_and_keeps_what_was_held(tmp_path: Path) -> None:
    budget = a_counter(usd=100)
    with EmbeddedValkey(tmp_path) as server:
        async with redis_world(server.url) as world:
            hold = await world.hold(budget, usd=30)
            due = await world.hold(budget, usd=5, lease_ms=1, watermark=some(2))
            await world.pass_ms(3)
            await world.redis_ledger.channel.command("CONFIG", "SET", "maxmemory", "1")

            for step in (
                world.ledger.reserve(world.ask(budget)),
                world.ledger.settle(hold, some(12), "provider"),
                world.ledger.sweep(),
            ):
                with pytest.raises(LedgerUnavailable, match=r"OOM|maxmemory"):
                    await step
            assert await world.usd(budget) == (0, 35)

            await world.redis_ledger.channel.command("CONFIG", "SET", "maxmemory", "0")
            await world.ledger.sweep()
            await _until(lambda: world.redis_ledger.unsettled() == 0)
            assert await world.usd(budget) == (14, 0)
            assert due.index == 0


async def test_a_key_of_a_wrong_type_stops_a_step_before_its_first_write(on_valkey: RedisWorld) -> None:
    good, spoilt = a_counter("team:good", usd=100), a_counter("team:spoilt")
    hold = await on_valkey.hold(good, spoilt, usd=30)
    spoilt_key = f"{prefix_of(on_valkey.root)}b:team:spoilt:total"
    await on_valkey.redis_ledger.channel.command("DEL", spoilt_key)
    await on_valkey.redis_ledger.channel.command("SADD", spoilt_key, "x")

    with pytest.raises(LedgerUnavailable, match="WRONGTYPE"):
        await on_valkey.ledger.settle(hold, some(12), "provider")
    assert await on_valkey.usd(good) == (0, 30)

    await on_valkey.redis_ledger.channel.command("DEL", spoilt_key)
    await _until(lambda: on_valkey.redis_ledger.unsettled() == 0)
    assert await on_valkey.usd(good) == (12, 0)


async def test_the_sum_of_the_entries_is_the_counters_exactly(on_valkey: RedisWorld) -> None:
    chance = random.Random(7)
    counters = (a_counter("budget:a", usd=4_000, tokens=900, concurrent=30), a_counter("team:t"))
    for _ in range(150):
        watermark = some(chance.randrange(9), energy=chance.choice([None, 3]))
        ask = on_valkey.ask(
            *counters,
            amounts=some(chance.randrange(200), energy=chance.choice([None, 7]), tokens=chance.randrange(50)),
            watermark=watermark,
            lease_ms=chance.choice([1, 60_000]),
        )
        hold = await on_valkey.ledger.reserve(ask)
        if isinstance(hold, Hold):
            await _end_somehow(on_valkey, hold, chance)
    await on_valkey.ledger.settle(
        Hold(on_valkey.root, on_valkey.new_id(), 1, 0, Candidate("m", some(1), counters), "k"), some(5), "provider"
    )

    sums = await _sum_of_entries(on_valkey)

    for counter in counters:
        stood = await on_valkey.standing(counter)
        place = f"{counter.key}:total"
        assert {unit: sums[place, unit, "s"] for unit in UNITS} == dict(stood.spent)
        assert {unit: sums[place, unit, "h"] for unit in UNITS} == dict(stood.held)


async def test_two_processes_with_two_hundred_requests_at_once_never_pass_one_limit(valkey_url: str) -> None:
    budget = a_counter(usd=1_000)
    async with redis_world(valkey_url) as world:
        commands = [sys.executable, "-m", CONTENDER, valkey_url, world.root, "100", "37", "1000"]
        both = [subprocess.Popen(commands, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) for _ in range(2)]
        try:
            answers = [json.loads((await asyncio.to_thread(process.communicate, timeout=60))[0]) for process in both]
        finally:
            for process in both:
                process.kill()

        assert sum(answer["granted"] for answer in answers) == 27  # 27 * 37 = 999
        assert sum(answer["denied"] for answer in answers) == 173
        assert await world.usd(budget) == (0, 999)


async def test_a_counter_of_a_window_lives_on_for_a_while_and_a_denial_for_a_minute(on_valkey: RedisWorld) -> None:
    now = on_valkey.ledger.now_ms()
    day, minute = span(WindowKind.DAY, "UTC", now), span(WindowKind.MINUTE, "UTC", now)
    budgets = [Counter(f"budget:{each.id}", each, ((Unit.USD_NANOS, 50),), "b") for each in (day, minute)]
    session = Counter("session:k:s", a_counter().window, report=True, ttl_ms=86_400_000)
    hold = await on_valkey.hold(*budgets, session, usd=50)
    await on_valkey.ledger.settle(hold, some(50), "provider")
    ask = on_valkey.ask(*budgets, usd=50)
    assert isinstance(await on_valkey.ledger.reserve(ask), Denial)

    lives = [await _pttl(on_valkey, f"b:{each.key}:{each.window.id}") for each in hold.candidate.counters]

    assert day.end_ms is not None
    assert abs(lives[0] - (day.end_ms + 35 * 86_400_000 - now)) < 60_000
    assert 3_600_000 - 60_000 < lives[1] <= 3_600_000 + 60_000
    assert 86_400_000 - 60_000 < lives[2] <= 86_400_000
    assert 0 < await _pttl(on_valkey, f"r:{ask.request_id}:1") <= 60_000
    assert 900_000 < await _pttl(on_valkey, f"r:{hold.request_id}:1") <= 910_000


async def test_a_session_leaves_no_name_behind(on_valkey: RedisWorld) -> None:
    session, team = Counter("session:k:s", TOTAL, report=True, ttl_ms=86_400_000), a_counter("team:t")

    await on_valkey.ledger.settle(await on_valkey.hold(session, team), some(1), "provider")

    names = await on_valkey.redis_ledger.channel.command("ZRANGE", f"{prefix_of(on_valkey.root)}c", 0, -1)
    assert names == [b"team:t:total"]


async def test_a_counter_is_sixty_four_bit_integers_spent_then_held(on_valkey: RedisWorld) -> None:
    budget = a_counter(usd=2**53 - 1)
    await on_valkey.ledger.settle(await on_valkey.hold(budget, usd=1), some(7, energy=5, carbon=4, tokens=3), "p")
    await on_valkey.hold(budget, usd=2)

    value = await on_valkey.redis_ledger.channel.command("GET", f"{prefix_of(on_valkey.root)}b:budget:b:total")

    assert isinstance(value, bytes)
    assert [int.from_bytes(value[at : at + 8], "big", signed=True) for at in range(0, 88, 8)] == [
        *(7, 5, 4, 3, 1),
        *(2, 0, 0, 0, 0, 0),
    ]


async def test_a_hold_that_ended_leaves_no_lease_behind(on_valkey: RedisWorld) -> None:
    settled, released = await on_valkey.hold(a_counter()), await on_valkey.hold(a_counter())
    await on_valkey.hold(a_counter(), lease_ms=1)
    await on_valkey.pass_ms(3)

    await on_valkey.ledger.settle(settled, some(1), "provider")
    await on_valkey.ledger.release(released, "unsent")
    await on_valkey.ledger.sweep()

    assert await on_valkey.redis_ledger.channel.command("ZCARD", f"{prefix_of(on_valkey.root)}l") == 0


async def test_more_due_holds_than_one_call_ends_are_all_ended(on_valkey: RedisWorld) -> None:
    budget = a_counter(usd=10_000)
    asks = [on_valkey.ask(budget, usd=2, lease_ms=20) for _ in range(250)]
    await asyncio.gather(*(on_valkey.ledger.reserve(ask) for ask in asks))
    await on_valkey.pass_ms(50)

    await on_valkey.ledger.sweep()

    assert await on_valkey.usd(budget) == (250, 0)
    assert on_valkey.ledger.holds_expired == 250


async def test_its_time_is_the_servers(on_valkey: RedisWorld) -> None:
    before = await on_valkey._redis_ms()
    ours = on_valkey.ledger.now_ms()
    after = await on_valkey._redis_ms()

    assert before - 50 <= ours <= after + 50


async def test_a_clock_that_jumped_costs_one_request_and_is_then_learned_anew(valkey_url: str) -> None:
    jump_s = [0.0]
    ledger = RedisLedger(valkey_url, deadline_s=5, monotonic=lambda: time.monotonic() + jump_s[0])
    await ledger.start()
    try:
        world = RedisWorld(ledger)
        jump_s[0] = 60.0

        assert await ledger.reserve(world.ask(a_counter())) == Stale("future")

        assert isinstance(await ledger.reserve(world.ask(a_counter())), Hold)
    finally:
        await ledger.close()


async def test_steps_are_timed_for_metrics(valkey_url: str) -> None:
    seen: list[tuple[str, float]] = []
    ledger = RedisLedger(valkey_url, deadline_s=5, observe=lambda verb, seconds: seen.append((verb, seconds)))
    await ledger.start()
    try:
        world = RedisWorld(ledger)
        await ledger.settle(await world.hold(a_counter()), some(1), "provider")
    finally:
        await ledger.close()

    assert ledger.calls == len(seen) == 2
    assert [verb for verb, _ in seen] == ["reserve", "settle"]
    assert ledger.seconds == pytest.approx(sum(seconds for _, seconds in seen))


async def test_holds_left_by_a_dead_gateway_are_ended_by_any_other(valkey_url: str) -> None:
    budget = a_counter(usd=100)
    async with redis_world(valkey_url) as dead:
        await dead.hold(budget, usd=30, lease_ms=1, watermark=some(4))
        await dead.pass_ms(3)

        async with redis_world(valkey_url) as other:
            await other.ledger.sweep()

        assert await dead.usd(budget) == (4, 0)


def _at(proxy: FaultProxy) -> str:
    return f"redis://127.0.0.1:{proxy.port}/0"


async def _end_somehow(world: World, hold: Hold, chance: random.Random) -> None:
    how = chance.randrange(5)
    if how == 0:
        await world.ledger.settle(hold, some(chance.randrange(300), energy=chance.choice([None, 9])), "provider")
    elif how == 1:
        await world.ledger.release(hold, "unsent")
    elif how == 2:
        await world.pass_ms(2)
        await world.ledger.sweep()
        await world.ledger.settle(hold, some(chance.randrange(5), energy=chance.choice([None, 2])), "counted")
    elif how == 3:
        await world.pass_ms(2)
        await world.ledger.sweep()
        await world.ledger.release(hold, "unsent")


async def _sum_of_entries(world: RedisWorld) -> dict[tuple[str, Unit, str], int]:
    """Read journal and open rows as a stranger would: docs/decisions/0011 is all it knows."""
    prefix, command = prefix_of(world.root), world.redis_ledger.channel.command
    sums: dict[tuple[str, Unit, str], int] = defaultdict(int)
    found = cast(list[tuple[bytes, list[bytes]]], await command("XRANGE", f"{prefix}j", "-", "+"))
    for number, (_, (name, entry)) in enumerate(found, 1):
        n, _, _, spent, back, plan = entry.decode().split("\n", 5)
        assert (name, int(n)) == (b"e", number)
        for suffix, spent_units, _, _ in (line.split(" ") for line in plan.splitlines()):
            for digit in spent_units:
                unit = int(digit) - 1
                sums[suffix, UNITS[unit], "s"] += _figure(spent, unit) - _figure(back, unit)
    for member in cast(list[bytes], await command("ZRANGE", f"{prefix}l", 0, -1)):
        row = cast(bytes, await command("GET", f"{prefix}r:{member.decode()}"))
        state, _, amounts, _, plan = row.decode().split("\n", 4)
        assert state == "held"
        for suffix, _, held_units, _ in (line.split(" ") for line in plan.splitlines()):
            for digit in held_units:
                unit = int(digit) - 1
                sums[suffix, UNITS[unit], "h"] += _figure(amounts, unit, concurrent=1)
    return sums


def _figure(text: str, place: int, *, concurrent: int = 0) -> int:
    if not text:
        return 0
    return concurrent if place == 5 else int(text.split(" ")[place] or 0)


async def _pttl(world: RedisWorld, key: str) -> int:
    return cast(int, await world.redis_ledger.channel.command("PTTL", prefix_of(world.root) + key))


async def _until(true: Callable[[], bool]) -> None:
    for _ in range(500):
        if true():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came true")

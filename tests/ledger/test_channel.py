from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from gateway.domain.budgets import Hold
from gateway.domain.faults import LedgerUnavailable
from gateway.ledger.channel import ScriptChannel
from gateway.ledger.redis import RedisLedger
from gateway.ledger.script import Script, load_script
from gateway.ledger.wire import packed
from tests.faultproxy import FaultProxy
from tests.ledger.house import RedisWorld, a_counter, socket_of

ADD = b"return redis.call('INCRBY', KEYS[1], ARGV[1])"


def a_script(text: bytes) -> Script:
    from hashlib import sha1

    return Script("test", text, sha1(text, usedforsecurity=False).hexdigest().encode())


@pytest.fixture
async def proxy(valkey_url: str) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(str(socket_of(valkey_url))) as proxy:
        yield proxy


@pytest.fixture
async def channel(proxy: FaultProxy) -> AsyncIterator[ScriptChannel]:
    channel = ScriptChannel(f"redis://127.0.0.1:{proxy.port}/0", (a_script(ADD),), deadline_s=0.4)
    await channel.connect()
    yield channel
    await channel.close()


async def test_calls_of_one_loop_turn_share_one_write(valkey_url: str) -> None:
    channel = ScriptChannel(valkey_url, (a_script(ADD),), deadline_s=5)
    await channel.connect()
    assert channel._wire is not None and channel._wire._transport is not None
    writes: list[bytes] = []
    write = channel._wire._transport.write
    channel._wire._transport.write = lambda data: (writes.append(bytes(data)), write(data))[1]  # type: ignore[method-assign]

    answers = await asyncio.gather(*(channel.call(a_script(ADD), ("shared-write",), (1,)) for _ in range(20)))

    assert answers == list(range(1, 21))
    assert len(writes) == 1
    await channel.close()


async def test_a_script_that_the_server_forgot_is_loaded_again(channel: ScriptChannel) -> None:
    await channel.command("SCRIPT", "FLUSH")

    answers = await asyncio.gather(*(channel.call(a_script(ADD), ("after-flush",), (1,)) for _ in range(5)))

    assert sorted(answers) == [1, 2, 3, 4, 5]  # type: ignore[type-var]


async def test_a_slow_server_is_unavailable_when_the_deadline_ends_and_later_replies_go_to_nobody_else(
    proxy: FaultProxy, channel: ScriptChannel
) -> None:
    proxy.latency_s = 0.6
    began = asyncio.get_running_loop().time()

    with pytest.raises(LedgerUnavailable, match="within 400 ms"):
        await channel.command("ECHO", "late")

    assert asyncio.get_running_loop().time() - began < 0.6
    proxy.latency_s = 0.0
    assert await _patiently(channel, "ECHO", "mine") == b"mine"


async def test_a_loop_that_was_busy_past_the_deadline_still_takes_the_reply_that_waits(valkey_url: str) -> None:
    channel = ScriptChannel(valkey_url, (a_script(ADD),), deadline_s=0.05)
    await channel.connect()

    calls = [asyncio.ensure_future(channel.command("PING")) for _ in range(10)]
    await asyncio.sleep(0)  # they are begun
    await asyncio.sleep(0)  # and written
    time.sleep(0.2)  # the loop does something else for four deadlines; Redis answered long ago

    assert await asyncio.gather(*calls) == [b"PONG"] * 10
    await channel.close()


async def test_five_hundred_reserves_of_one_turn_that_outlasts_the_deadline_are_all_answered(valkey_url: str) -> None:
    ledger = RedisLedger(valkey_url)  # with the deadline of the product
    await ledger.start()
    world, budget = RedisWorld(ledger), a_counter(usd=10_000)
    await world.hold(budget)  # its root is known now

    reserves = [asyncio.ensure_future(ledger.reserve(world.ask(budget))) for _ in range(500)]
    await asyncio.sleep(0)  # they are begun, and too large for one write of the socket
    time.sleep(1.0)  # the loop does something else: four deadlines, and twice what a silent Redis is given
    verdicts = await asyncio.gather(*reserves)

    assert all(isinstance(verdict, Hold) for verdict in verdicts)
    assert await world.usd(budget) == (0, 5_010)
    assert ledger.channel.resends == 0
    await ledger.close()


async def test_a_call_after_a_turn_that_outlasts_every_deadline_keeps_the_connection(
    valkey_url: str,
) -> None:
    channel = ScriptChannel(valkey_url, (), deadline_s=0.05)
    await channel.connect()

    first = asyncio.ensure_future(channel.command("ECHO", "first"))
    await asyncio.sleep(0)
    time.sleep(0.7)

    assert list(await asyncio.gather(channel.command("ECHO", "second"), first)) == [b"second", b"first"]
    assert channel.connects == 1
    await channel.close()


async def test_a_cancelled_call_leaves_its_reply_to_nobody(channel: ScriptChannel) -> None:
    call = asyncio.create_task(channel.command("ECHO", "cancelled"))
    await asyncio.sleep(0)
    call.cancel()

    assert await channel.command("ECHO", "mine") == b"mine"


async def test_a_lost_reply_is_asked_for_again(proxy: FaultProxy, channel: ScriptChannel) -> None:
    proxy.drop_reply_once = True

    assert await channel.command("ECHO", "again") == b"again"

    assert channel.resends == 1
    assert channel.connects == 2


async def test_after_a_reset_it_connects_again_by_itself(proxy: FaultProxy, channel: ScriptChannel) -> None:
    proxy.reset_all()

    assert await channel.command("ECHO", "back") == b"back"


async def test_a_black_hole_is_left_for_a_new_connection(proxy: FaultProxy, channel: ScriptChannel) -> None:
    proxy.black_hole = True
    with pytest.raises(LedgerUnavailable):
        await channel.command("ECHO", "swallowed")
    proxy.black_hole = False

    assert await _patiently(channel, "ECHO", "out") == b"out"


async def test_while_nothing_listens_calls_fail_within_the_deadline_and_soon_at_once(proxy: FaultProxy) -> None:
    proxy.refuse = True
    channel = ScriptChannel(f"redis://127.0.0.1:{proxy.port}", (), deadline_s=0.4)
    loop = asyncio.get_running_loop()

    with pytest.raises(LedgerUnavailable, match="no connection"):
        await channel.command("PING")
    began = loop.time()
    with pytest.raises(LedgerUnavailable, match="no connection"):
        await channel.command("PING")

    assert loop.time() - began < 0.2
    proxy.refuse = False
    assert await _patiently(channel, "PING") == b"PONG"
    await channel.close()


async def test_a_wrong_password_is_named_and_never_shown(valkey_url: str) -> None:
    channel = ScriptChannel(f"unix://user:hunter2@{socket_of(valkey_url)}", (), deadline_s=0.3)

    with pytest.raises(LedgerUnavailable, match="WRONGPASS") as refused:
        await channel.command("PING")

    assert "hunter2" not in str(refused.value)
    assert "hunter2" not in repr(channel._address)
    await channel.close()


async def test_a_script_error_is_unavailable_and_says_what(channel: ScriptChannel) -> None:
    await channel.command("SET", "text", "not a number")

    with pytest.raises(LedgerUnavailable, match="not an integer"):
        await channel.call(a_script(ADD), ("text",), (1,))


async def test_a_closed_channel_refuses(valkey_url: str) -> None:
    channel = ScriptChannel(valkey_url, ())
    await channel.connect()
    await channel.close()

    with pytest.raises(LedgerUnavailable, match="closed"):
        await channel.command("PING")


def test_commands_are_packed_as_bulk_strings() -> None:
    assert packed("GET", b"k\xff", 12) == b"*3\r\n$3\r\nGET\r\n$2\r\nk\xff\r\n$2\r\n12\r\n"


def test_every_verb_is_in_the_package() -> None:
    verbs = ["reserve_hold", "settle_hold", "release_hold", "expire_holds"]

    assert [load_script(verb).name for verb in verbs] == verbs


async def _patiently(channel: ScriptChannel, *command: str) -> object:
    """Ask until it answers; the deadlines of the channel bound each try."""
    for _ in range(40):
        try:
            return await channel.command(*command)
        except LedgerUnavailable:
            await asyncio.sleep(0.05)
    raise AssertionError("it never answered")

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from gateway.domain.faults import LedgerUnavailable
from gateway.domain.tenancy import Identity
from gateway.ledger import identities
from gateway.ledger.channel import ScriptChannel
from gateway.ledger.identities import RedisIdentities
from gateway.ledger.keys import KeyConflict, KeyStore, NewKey, read_identity, write_identity
from tests.faultproxy import FaultProxy
from tests.ledger.house import socket_of

PEPPER = b"pepper"


@pytest.fixture
async def redis(valkey_url: str) -> AsyncIterator[Redis]:
    client = Redis.from_url(valkey_url)
    await client.delete(*[key async for key in client.scan_iter("jg:key*")] or ["nothing"])
    yield client
    await client.aclose()


@pytest.fixture
async def channel(redis: Redis, valkey_url: str) -> AsyncIterator[ScriptChannel]:
    channel = ScriptChannel(valkey_url, (), deadline_s=5)
    yield channel
    await channel.close()


@pytest.fixture
def keys(channel: ScriptChannel) -> KeyStore:
    return KeyStore(channel, PEPPER)


@contextlib.asynccontextmanager
async def impatient(port: int) -> AsyncIterator[ScriptChannel]:
    client = ScriptChannel(f"redis://127.0.0.1:{port}", ())
    try:
        yield client
    finally:
        await client.close()


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def ms(self) -> int:
        return int(self.now * 1_000)

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def found(channel: ScriptChannel, clock: Clock) -> AsyncIterator[RedisIdentities]:
    found = RedisIdentities(channel, PEPPER, wall_ms=clock.ms, monotonic=clock.monotonic)
    await found.start()
    yield found
    await found.close()


async def asked(found: RedisIdentities, key: str | bytes) -> Identity | None:
    answer = found.find(key.encode() if isinstance(key, str) else key)
    return answer if answer is None or isinstance(answer, Identity) else await answer


async def test_a_new_key_is_256_bits_and_stored_only_as_a_peppered_digest(redis: Redis, keys: KeyStore) -> None:
    made = await keys.create(Identity("k1", "support"))

    assert made.key.startswith("jgk_")
    assert len(made.key) == len("jgk_") + 43  # 32 bytes in base64
    digest = hmac.new(PEPPER, hashlib.sha256(made.key.encode()).digest(), "sha256").hexdigest()
    assert await redis.exists(f"jg:key:{digest}")
    stored = [await redis.dump(key) async for key in redis.scan_iter("*")]
    assert not any(made.key.encode() in value for value in stored if isinstance(value, bytes))


async def test_a_key_finds_its_identity_and_then_without_asking(keys: KeyStore, found: RedisIdentities) -> None:
    identity = Identity("k1", "support", project="bot", models=frozenset({"chat"}), tags=("a", "b"))
    made = await keys.create(identity)
    await found.refresh()

    assert await asked(found, made.key) == identity
    assert found.find(made.key.encode()) == identity


async def test_unknown_keys_find_nothing_whatever_bytes_they_are(found: RedisIdentities) -> None:
    for key in ("jgk_nobody", "", "schlüssel", b"\xff\x00", b"x" * 10_000):
        assert await asked(found, key) is None


async def test_an_unknown_key_is_remembered_as_unknown_for_a_while_only(found: RedisIdentities, clock: Clock) -> None:
    await asked(found, "jgk_nobody")

    assert found.find(b"jgk_nobody") is None
    clock.now += identities.UNKNOWN_FOR_S
    assert await asked(found, "jgk_nobody") is None
    assert found.find(b"jgk_nobody") is None


async def test_memory_of_unknown_keys_is_bounded(found: RedisIdentities, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identities, "UNKNOWN_REMEMBERED", 20)

    for number in range(60):
        await asked(found, f"jgk_{number}")

    assert len(found._unknown) <= 20


async def test_a_revoked_key_is_refused_after_the_next_look(keys: KeyStore, found: RedisIdentities) -> None:
    made = await keys.create(Identity("k1", "support"))
    assert await asked(found, made.key) is not None

    await keys.revoke("k1")
    await found.refresh()

    assert await asked(found, made.key) is None
    assert await keys.list() == []


async def test_a_key_made_after_it_was_refused_works_after_the_next_look(
    keys: KeyStore, found: RedisIdentities
) -> None:
    await asked(found, "jgk_early")
    await keys.adopt(Identity("k1", "support"), hashlib.sha256(b"jgk_early").digest())

    await found.refresh()

    assert await asked(found, "jgk_early") == Identity("k1", "support")


async def test_changes_are_followed_without_being_told(keys: KeyStore, found: RedisIdentities) -> None:
    made = await keys.create(Identity("k1", "support"))
    assert await asked(found, made.key) is not None
    await keys.revoke("k1")

    for _ in range(100):
        if await asked(found, made.key) is None:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("a revoked key still works after two seconds")


async def test_rotation_keeps_the_identity_and_ends_the_old_key(keys: KeyStore, found: RedisIdentities) -> None:
    old = await keys.create(Identity("k1", "support"))
    new = await keys.rotate("k1")
    await found.refresh()

    assert new.key != old.key
    assert await asked(found, old.key) is None
    assert await asked(found, new.key) == Identity("k1", "support")


async def test_rotation_with_grace_leaves_the_old_key_until_then(
    keys: KeyStore, found: RedisIdentities, clock: Clock
) -> None:
    old = await keys.create(Identity("k1", "support"))
    await keys.rotate("k1", grace_ms=60_000, now_ms=clock.ms())
    await found.refresh()

    assert await asked(found, old.key) is not None
    clock.now += 60
    assert await asked(found, old.key) is None


async def test_disabled_and_expired_keys_find_nothing(keys: KeyStore, found: RedisIdentities, clock: Clock) -> None:
    disabled = await keys.create(Identity("k1", "support", disabled=True))
    expiring = await keys.create(Identity("k2", "support", expires_ms=clock.ms() + 1_000))
    await found.refresh()

    assert await asked(found, disabled.key) is None
    assert await asked(found, expiring.key) is not None
    clock.now += 1
    assert await asked(found, expiring.key) is None


async def test_a_key_id_is_given_once(keys: KeyStore) -> None:
    await keys.create(Identity("k1", "support"))

    with pytest.raises(KeyConflict, match="'k1' exists"):
        await keys.create(Identity("k1", "other"))
    with pytest.raises(KeyConflict, match="no key named 'k9'"):
        await keys.rotate("k9")
    assert [identity.team for identity in await keys.list()] == ["support"]


@pytest.mark.parametrize("team", ["", "a:b", "{x}", "a/b", "x" * 65])
async def test_ids_that_would_break_a_redis_key_are_refused(keys: KeyStore, team: str) -> None:
    with pytest.raises(ValueError, match="team"):
        await keys.create(Identity("k1", team))


async def test_while_the_store_is_away_remembered_keys_work_and_others_are_unavailable(
    keys: KeyStore, valkey_url: str, clock: Clock
) -> None:
    made = await keys.create(Identity("k1", "support"))
    async with FaultProxy(str(socket_of(valkey_url))) as proxy, impatient(proxy.port) as client:
        found = RedisIdentities(client, PEPPER, wall_ms=clock.ms, monotonic=clock.monotonic)
        await found.refresh()
        assert await asked(found, made.key) is not None
        proxy.refuse = True
        proxy.reset_all()

        assert await asked(found, made.key) == Identity("k1", "support")
        with pytest.raises(LedgerUnavailable):
            await asked(found, "jgk_other")
        with pytest.raises(LedgerUnavailable):
            await KeyStore(client, PEPPER).list()


def test_a_record_keeps_every_field_and_passes_over_what_it_does_not_know() -> None:
    identity = Identity(
        "k1", "t", "o", "p", "n", frozenset({"m"}), frozenset({"c"}), frozenset({"cost"}), 429, True, 5, False, ("x",)
    )

    assert read_identity(write_identity(identity)) == identity
    assert read_identity(b'{"key_id": "k", "team": "t", "of_the_future": 1}') == Identity("k", "t")


async def test_of_two_rotations_at_once_one_is_told_and_one_key_is_good(keys: KeyStore, found: RedisIdentities) -> None:
    await keys.create(Identity("k1", "support"))

    both = await asyncio.gather(keys.rotate("k1"), keys.rotate("k1"), return_exceptions=True)
    await found.refresh()

    (made,) = [each for each in both if isinstance(each, NewKey)]
    assert [type(each) for each in both if each is not made] == [KeyConflict]
    assert await asked(found, made.key) == Identity("k1", "support")


async def test_a_script_that_is_sent_again_changes_nothing(keys: KeyStore, redis: Redis) -> None:
    identity = Identity("k1", "support")

    assert [await keys._written(identity, "d1", "") for _ in range(2)] == [True, True]
    assert await redis.get("jg:keys:version") == b"1"
    assert await keys.list() == [identity]


async def test_callers_who_ask_at_once_share_one_look_up_and_one_who_leaves_ends_it_for_nobody(
    keys: KeyStore, channel: ScriptChannel, clock: Clock
) -> None:
    made = await keys.create(Identity("k1", "support"))
    found = RedisIdentities(channel, PEPPER, wall_ms=clock.ms, monotonic=clock.monotonic)
    await found.refresh()
    before = channel.calls

    first, *others = [asyncio.ensure_future(asked(found, made.key)) for _ in range(50)]
    await asyncio.sleep(0)  # all of them ask
    first.cancel()

    assert await asyncio.gather(*others) == [Identity("k1", "support")] * 49
    assert channel.calls - before == 1


async def test_a_change_sends_nobody_to_redis_and_is_known_to_all_after_one_look(
    keys: KeyStore, channel: ScriptChannel, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identities, "RENEWED_AT_ONCE", 2)
    made = [await keys.create(Identity(f"k{number}", "support")) for number in range(5)]
    found = RedisIdentities(channel, PEPPER, wall_ms=clock.ms, monotonic=clock.monotonic)
    await found.refresh()
    for each in made:
        await asked(found, each.key)
    await keys.revoke("k3")
    before = channel.calls

    await found.refresh()

    assert channel.calls - before == 4  # the version, and five records by two
    remembered = [found.find(each.key.encode()) for each in made if each.identity.key_id != "k3"]
    assert remembered == [each.identity for each in made if each.identity.key_id != "k3"]
    assert await asked(found, made[3].key) is None


async def test_a_former_answer_is_given_until_the_new_one_is_here_but_no_longer_than_a_second_after_the_change(
    keys: KeyStore, valkey_url: str, clock: Clock
) -> None:
    made = await keys.create(Identity("k1", "support"))
    async with FaultProxy(str(socket_of(valkey_url))) as proxy, impatient(proxy.port) as client:
        found = RedisIdentities(client, PEPPER, wall_ms=clock.ms, monotonic=clock.monotonic)
        await found.refresh()
        await asked(found, made.key)
        await keys.revoke("k1")
        proxy.latency_s = 0.1
        refreshing = asyncio.ensure_future(found.refresh())
        while not found._former:  # it has seen that something changed, and asks what
            await asyncio.sleep(0.005)

        assert found.find(made.key.encode()) == Identity("k1", "support")
        clock.now += identities.FOLLOWED_S
        assert await asked(found, made.key) is None
        await refreshing
        assert await asked(found, made.key) is None


async def test_a_renewal_that_fails_is_made_good_by_the_next_look(
    keys: KeyStore, valkey_url: str, clock: Clock
) -> None:
    made = await keys.create(Identity("k1", "support"))
    async with FaultProxy(str(socket_of(valkey_url))) as proxy, impatient(proxy.port) as client:
        found = RedisIdentities(client, PEPPER, wall_ms=clock.ms, monotonic=clock.monotonic)
        await found.refresh()
        await asked(found, made.key)
        await keys.create(Identity("k2", "support"))
        proxy.latency_s = 0.05
        refreshing = asyncio.ensure_future(found.refresh())
        while not found._former:
            await asyncio.sleep(0.005)
        proxy.refuse = True
        proxy.reset_all()
        with pytest.raises(LedgerUnavailable):
            await refreshing
        clock.now += identities.FOLLOWED_S
        with pytest.raises(LedgerUnavailable):
            await asked(found, made.key)

        proxy.refuse, proxy.latency_s = False, 0.0
        await client.connect()
        await found.refresh()

        assert found.find(made.key.encode()) == Identity("k1", "support")

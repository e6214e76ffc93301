from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from gateway.domain.amounts import Unit
from gateway.domain.budgets import Ask, Budget, Candidate, Hold, Mode, WindowKind
from gateway.domain.faults import LedgerUnavailable
from gateway.domain.tenancy import Identity
from gateway.ledger.channel import ScriptChannel
from gateway.ledger.statuses import Statuses
from gateway.policy.claims import Claims
from tests.ledger.house import RedisWorld, some

BUDGETS = (
    Budget("month", {"team": "support"}, {Unit.USD_NANOS: 1_000}, WindowKind.MONTH),
    Budget("watch", {"team": "*"}, {Unit.ENERGY_MJ: 10}, WindowKind.DAY, mode=Mode.OBSERVE),
    Budget("untouched", {"team": "nobody"}, {Unit.TOKENS: 5}, WindowKind.DAY),
    Budget("rate", {"key": "*"}, {Unit.REQUESTS: 9, Unit.CONCURRENT: 2}, WindowKind.MINUTE, kind="rate"),
)


@pytest.fixture
async def statuses(valkey_url: str) -> AsyncIterator[Statuses]:
    client = Redis.from_url(valkey_url)
    await client.flushdb()
    await client.aclose()
    channel = ScriptChannel(valkey_url, (), deadline_s=5)
    yield Statuses(channel)
    await channel.close()


async def spend(world: RedisWorld, identity: Identity, claims: Claims, usd: int) -> None:
    counters = claims.counters(identity, "chat", None, world.ledger.now_ms())
    candidate = Candidate("m", some(usd, energy=3), counters)
    ask = Ask(claims.root(identity), world.new_id(), 1, (candidate,), some(1), 60_000, identity.key_id)
    hold = await world.ledger.reserve(ask)
    assert isinstance(hold, Hold)
    await world.ledger.settle(hold, some(usd, energy=3), "provider")


async def test_each_budget_shows_every_counter_of_its_current_window(on_valkey: RedisWorld, statuses: Statuses) -> None:
    claims = Claims(BUDGETS, "org")
    await spend(on_valkey, Identity("k1", "support"), claims, 40)
    await spend(on_valkey, Identity("k2", "sales"), claims, 50)

    found = await statuses.of_budgets(BUDGETS, on_valkey.ledger.now_ms())

    seen = {(each.budget, each.key, unit): each.spent[unit] for each in found for unit in each.limits}
    assert seen == {
        ("month", "budget:month", Unit.USD_NANOS): 40,
        ("watch", "budget:watch:support", Unit.ENERGY_MJ): 3,
        ("watch", "budget:watch:sales", Unit.ENERGY_MJ): 3,
        ("untouched", "budget:untouched", Unit.TOKENS): 0,
        ("rate", "limit:rate:k1", Unit.REQUESTS): 1,
        ("rate", "limit:rate:k2", Unit.REQUESTS): 1,
        ("rate", "limit:rate:k1", Unit.CONCURRENT): 0,
        ("rate", "limit:rate:k2", Unit.CONCURRENT): 0,
    }


async def test_a_key_sees_the_declared_budgets_it_is_charged_to(on_valkey: RedisWorld, statuses: Statuses) -> None:
    claims, identity = Claims(BUDGETS, "org"), Identity("k1", "support")
    await spend(on_valkey, identity, claims, 40)
    counters = claims.counters(identity, "chat", None, on_valkey.ledger.now_ms())

    found = await statuses.of_counters(claims.root(identity), counters)

    assert [(each.budget, each.spent[Unit.USD_NANOS]) for each in found] == [
        ("month", 40),
        ("watch", 40),
        ("rate", 0),
        ("rate", 0),
    ]


async def test_redis_away_is_unavailable(tmp_path_factory: pytest.TempPathFactory) -> None:
    gone = ScriptChannel(f"unix://{tmp_path_factory.mktemp('gone') / 'no.sock'}", ())

    with pytest.raises(LedgerUnavailable):
        await Statuses(gone).of_budgets(BUDGETS, 0)
    await gone.close()

from __future__ import annotations

import json

from gateway.domain.amounts import Unit
from gateway.domain.budgets import BudgetStatus, WindowSpan
from gateway.domain.faults import LedgerUnavailable
from tests.server.house import a_port, body_of, get, status_of


async def test_a_key_sees_only_the_models_it_may_use() -> None:
    async with a_port() as port:
        alice = json.loads(body_of(await port.send(get("/v1/models"))))
        bob = json.loads(body_of(await port.send(get("/v1/models", key=b"jg-bob"))))

        assert alice == {
            "object": "list",
            "data": [{"id": "chat", "object": "model", "created": 7, "owned_by": "joulegate"}],
        }
        assert [model["id"] for model in bob["data"]] == ["chat", "secret"]


async def test_a_model_of_others_does_not_exist() -> None:
    async with a_port() as port:
        assert status_of(await port.send(get("/v1/models/chat"))) == 200
        hidden = await port.send(get("/v1/models/secret"))
        absent = await port.send(get("/v1/models/nothing"))

        assert (status_of(hidden), status_of(absent)) == (404, 404)
        assert json.loads(body_of(hidden))["error"]["code"] == "model_not_found"


async def test_a_key_sees_its_own_limits_and_spend() -> None:
    async with a_port() as port:
        port.statuses = [
            BudgetStatus(
                "support-month",
                "team:support",
                WindowSpan("2026-11", 1_000, 2_000),
                {Unit.USD_NANOS: 250_000_000_000, Unit.ENERGY_MJ: 18_000_000},
                {Unit.USD_NANOS: 1_500_000_000, Unit.ENERGY_MJ: 0, Unit.TOKENS: 26_388, Unit.CONCURRENT: 0},
                {Unit.USD_NANOS: 2_000_000, Unit.TOKENS: 0},
            )
        ]
        answer = json.loads(body_of(await port.send(get("/v1/key"))))

        assert answer["id"] == "k-alice"
        assert answer["team"] == "support"
        assert answer["models"] == ["chat"]
        assert answer["budgets"] == [
            {
                "name": "support-month",
                "window": "2026-11",
                "since_ms": 1_000,
                "resets_ms": 2_000,
                "limit": {"usd": 250.0, "joules": 18_000.0},
                "spent": {"usd": 1.5, "joules": 0.0, "tokens": 26_388},
                "held": {"usd": 0.002},
            }
        ]


async def test_a_key_that_may_not_see_limits_sees_itself() -> None:
    async with a_port() as port:
        answer = json.loads(body_of(await port.send(get("/v1/key", key=b"jg-bob"))))

        assert answer == {"object": "key", "id": "k-bob", "name": ""}


async def test_usage_is_found_by_root_key_and_id() -> None:
    async with a_port() as port:
        port.ledger.summaries["default", "k-alice", "own-7"] = b'{"cost_usd":0.25}'

        mine = await port.send(get("/v1/usage/own-7"))
        theirs = await port.send(get("/v1/usage/own-7", key=b"jg-bob"))

        assert (status_of(mine), body_of(mine)) == (200, b'{"cost_usd":0.25}')
        assert status_of(theirs) == 404


async def test_usage_waits_a_moment_for_a_settle_that_is_under_way() -> None:
    async with a_port() as port:
        port.ledger.summaries["default", "k-alice", "own-7"] = b"{}"
        port.ledger.misses_first = 3

        assert status_of(await port.send(get("/v1/usage/own-7"))) == 200


async def test_without_the_ledger_usage_is_unavailable_not_absent() -> None:
    async with a_port() as port:
        port.ledger.fault = LedgerUnavailable()

        assert status_of(await port.send(get("/v1/usage/own-7"))) == 503

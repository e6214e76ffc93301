"""What a key may look up: its models, itself, and its own recent requests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final
from urllib.parse import unquote

import orjson

from gateway.domain.budgets import BudgetStatus
from gateway.domain.catalog import ServedModel, Snapshot
from gateway.domain.faults import LedgerUnavailable
from gateway.domain.refusal import Refusal, RefusalCode
from gateway.domain.tenancy import ID_PATTERN, Identity
from gateway.ports.ledger import Ledger
from gateway.ports.policies import Policies
from gateway.server.money import budget_json

Balances = Callable[[Identity], Awaitable[Sequence[BudgetStatus]]]
FIND_WAITS_S: Final = (0.0, 0.01, 0.03, 0.06, 0.15)  # a settle runs after the answer: its summary may be a moment late


class Reads:
    """Answers GET requests with JSON, or a Refusal. Everything is limited to the identity that asks."""

    def __init__(
        self, *, policies: Policies, ledger: Ledger, root: Callable[[Identity], str], balances: Balances | None = None
    ):
        self._policies = policies
        self._ledger = ledger
        self._root = root
        self._balances = balances

    async def models(self, identity: Identity) -> bytes | Refusal:
        """The models this key may use, as OpenAI lists them."""
        served = usable(self._policies.current(), identity)
        return orjson.dumps({"object": "list", "data": [_model_json(model) for model in served]})

    async def model(self, identity: Identity, quoted_name: str) -> bytes | Refusal:
        """One of them. A model that exists for others only does not exist."""
        name = unquote(quoted_name)
        for model in usable(self._policies.current(), identity):
            if model.name == name:
                return orjson.dumps(_model_json(model))
        shown = name[:64].encode("ascii", "replace").decode()
        return Refusal(RefusalCode.MODEL_NOT_FOUND, f"The model '{shown}' does not exist.", param="model")

    async def key(self, identity: Identity) -> bytes | Refusal:
        """The key's own limits and spend, as far as it may see them."""
        answer: dict[str, object] = {"object": "key", "id": identity.key_id, "name": identity.name}
        if "limits" in identity.expose:
            snapshot = self._policies.current()
            statuses: Iterable[BudgetStatus] = ()
            if self._balances is not None:
                try:
                    statuses = await self._balances(identity)
                except LedgerUnavailable:
                    return _ledger_away()
            answer |= {
                "team": identity.team,
                "org": identity.org,
                "project": identity.project,
                "models": [model.name for model in usable(snapshot, identity)],
                "classes": sorted(identity.classes or snapshot.classes),
                "expires_ms": identity.expires_ms,
                "budgets": [budget_json(status) for status in statuses],
            }
        return orjson.dumps(answer)

    async def usage(self, identity: Identity, request_id: str) -> bytes | Refusal:
        """What one of the key's requests used and cost, for 15 minutes after its end."""
        if ID_PATTERN.match(request_id) is not None:
            try:
                for wait_s in FIND_WAITS_S:
                    await asyncio.sleep(wait_s)
                    summary = await self._ledger.find(self._root(identity), identity.key_id, request_id)
                    if summary is not None:
                        return summary
            except LedgerUnavailable:
                return _ledger_away()
        return Refusal(RefusalCode.NOT_FOUND, "No request of this key and id has ended in the last 15 minutes.")


def usable(snapshot: Snapshot, identity: Identity) -> list[ServedModel]:
    """The models a key may name, in the order they are declared."""
    return [model for model in snapshot.models.values() if not identity.models or model.name in identity.models]


def _model_json(model: ServedModel) -> dict[str, object]:
    return {"id": model.name, "object": "model", "created": model.created_s, "owned_by": "joulegate"}


def _ledger_away() -> Refusal:
    return Refusal(RefusalCode.LEDGER_UNAVAILABLE, "The ledger does not answer; please retry.", retry_after_s=1)

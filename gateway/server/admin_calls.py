"""Operators' calls: what each route of /admin/v1 answers."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
from aiohttp import web
from pydantic import ValidationError

from gateway.domain.faults import BadDocument, InvalidRequest
from gateway.domain.refusal import Refusal, RefusalCode
from gateway.domain.tenancy import ID_PATTERN, Identity
from gateway.server.errors import render
from gateway.server.money import budget_json
from gateway.server.offices import Change, Json, NewKey, Offices, settled
from gateway.server.overview import BackendView, History


class AdminCalls:
    """Translates between HTTP and the offices. Raises InvalidRequest and LedgerUnavailable."""

    def __init__(self, offices: Offices, history: History):
        self._offices = offices
        self._history = history

    async def overview(self, request: web.Request) -> web.Response:
        """Everything the page draws."""
        return answer(await self._history.seen())

    async def list_keys(self, request: web.Request) -> web.Response:
        """Every key, without the key."""
        return listed([key_json(identity) for identity in await self._offices.keys.list()])

    async def create_key(self, request: web.Request) -> web.Response:
        """Make a key. Its text is in this answer and never again."""
        wanted = await new_key(request)
        identity = Identity(key_id=self._offices.new_id(), **wanted.model_dump())
        key = await self._offices.keys.create(identity)
        self._audit(request, "key.create", identity.key_id, "done")
        return answer({**key_json(identity), "key": key}, status=201)

    async def revoke_key(self, request: web.Request) -> web.Response:
        """Withdraw a key; every gateway refuses it within a second."""
        key_id = request.match_info["id"]
        known = ID_PATTERN.match(key_id) is not None and await self._offices.keys.revoke(key_id)
        self._audit(request, "key.revoke", key_id[:64], "done" if known else "unknown")
        return answer({"id": key_id, "revoked": True}) if known else absent("No such key.")

    async def teams(self, request: web.Request) -> web.Response:
        """Teams, with their keys' number and their spend."""
        return listed(await self._offices.teams())

    async def budgets(self, request: web.Request) -> web.Response:
        """Every declared budget's window and where it stands."""
        return listed([budget_json(status) | {"counter": status.key} for status in await self._offices.budgets()])

    async def usage(self, request: web.Request) -> web.Response:
        """What was used, by model and backend; of one team with `?team=`."""
        team = request.query.get("team")
        if team is not None and ID_PATTERN.match(team) is None:
            raise InvalidRequest("team must be 1 to 64 of A-Z a-z 0-9 _ -", param="team", code="invalid_query")
        return listed(await self._offices.usage(team))

    async def backends(self, request: web.Request) -> web.Response:
        """Backends: state, load, modelled power."""
        return listed(await settled(self._offices.backends()))

    async def policies(self, request: web.Request) -> web.Response:
        """The rules in force."""
        return answer(self._offices.policies())

    async def reload(self, request: web.Request) -> web.Response:
        """Read every document again; all of it is valid and takes over, or the old rules stay."""
        try:
            version = await self._offices.reload()
        except BadDocument as fault:
            self._audit(request, "policies.reload", "policies", "refused")
            raise InvalidRequest(str(fault), code="bad_document") from None
        self._audit(request, "policies.reload", version, "done")
        return answer({"version": version})

    async def decision(self, request: web.Request) -> web.Response:
        """Why a recent request went where it went."""
        decision = await settled(self._offices.decision(request.match_info["id"]))
        return absent("No such request among the last ones.") if decision is None else answer(decision)

    def _audit(self, request: web.Request, action: str, target: str, outcome: str) -> None:
        self._offices.audit(Change(self._offices.wall_ms(), action, target, request.remote or "", outcome))


async def new_key(request: web.Request) -> NewKey:
    """The body of a POST to /keys. Raises InvalidRequest naming the first field at fault, and quoting none."""
    try:
        return NewKey.model_validate_json(await request.read())
    except ValidationError as fault:
        first = fault.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "body"
        raise InvalidRequest(f"{where}: {first['msg']}", param=where, code="invalid_body") from None


def key_json(identity: Identity) -> dict[str, object]:
    """A key as operators see it."""
    return {
        "id": identity.key_id,
        "name": identity.name,
        "team": identity.team,
        "org": identity.org,
        "project": identity.project,
        "models": sorted(identity.models),
        "classes": sorted(identity.classes),
        "expose": sorted(identity.expose),
        "budget_status": identity.budget_status,
        "expires_ms": identity.expires_ms,
        "disabled": identity.disabled,
    }


def answer(value: object, *, status: int = 200) -> web.Response:
    """JSON that no cache keeps."""
    return web.Response(
        status=status,
        body=orjson.dumps(value),
        content_type="application/json",
        headers={"cache-control": "no-store"},
    )


def listed(rows: Sequence[Json] | Sequence[BackendView]) -> web.Response:
    """A list in the shape every list of this API has."""
    return answer({"object": "list", "data": list(rows)})


def absent(message: str) -> web.Response:
    """404 in our error shape."""
    status, headers, body = render(Refusal(RefusalCode.NOT_FOUND, message))
    return web.Response(status=status, headers=dict(headers), body=body, content_type="application/json")

"""What the `keys` commands do."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from gateway.bootstrap.store import open_store
from gateway.domain.faults import JoulegateError
from gateway.domain.tenancy import EXPOSE_ALL, Identity
from gateway.ledger.identities import KeyConflict, NewKey

KEY_ID_BYTES = 6
DAY_MS = 24 * 3_600_000
BUDGET_STATUSES = (402, 429)


class KeyRefused(JoulegateError):
    """A key can not be made, or is not there."""


@dataclass(frozen=True, slots=True)
class KeyWish:
    """What an operator asks for; empty sets allow everything."""

    team: str
    name: str = ""
    org: str = "default"
    project: str | None = None
    models: frozenset[str] = frozenset()
    classes: frozenset[str] = frozenset()
    expose: frozenset[str] | None = None
    budget_status: int = 402
    expires_days: int | None = None
    usage_comment: bool = False


async def create_key(config: Path, env: Mapping[str, str], wish: KeyWish) -> dict[str, object]:
    """Make one; the answer holds the key, which is not seen again."""
    _check(wish)
    async with open_store(config, env) as store:
        expires = None if wish.expires_days is None else await store.now_ms() + wish.expires_days * DAY_MS
        identity = Identity(
            key_id=f"k-{secrets.token_hex(KEY_ID_BYTES)}",
            team=wish.team,
            org=wish.org,
            project=wish.project,
            name=wish.name,
            models=wish.models,
            classes=wish.classes,
            expose=EXPOSE_ALL if wish.expose is None else wish.expose,
            budget_status=wish.budget_status,
            expires_ms=expires,
            usage_comment=wish.usage_comment,
        )
        try:
            return _made(await store.keys.create(identity))
        except ValueError as refused:
            raise KeyRefused(str(refused)) from None


async def rotate_key(config: Path, env: Mapping[str, str], key_id: str) -> dict[str, object]:
    """A new secret for the same key."""
    async with open_store(config, env) as store:
        try:
            return _made(await store.keys.rotate(key_id))
        except KeyConflict as unknown:
            raise KeyRefused(f"{unknown}; `joulegate keys list` shows all") from None


async def revoke_key(config: Path, env: Mapping[str, str], key_id: str) -> None:
    """End a key."""
    async with open_store(config, env) as store:
        try:
            await store.keys.revoke(key_id)
        except KeyConflict as unknown:
            raise KeyRefused(f"{unknown}; `joulegate keys list` shows all") from None


async def key_rows(config: Path, env: Mapping[str, str]) -> Sequence[dict[str, object]]:
    """Every key's identity, for a table."""
    async with open_store(config, env) as store:
        return [row_of(identity) for identity in await store.keys.list()]


def row_of(identity: Identity) -> dict[str, object]:
    """One line of `keys list`."""
    expires = identity.expires_ms
    return {
        "id": identity.key_id,
        "name": identity.name,
        "team": identity.team,
        "org": identity.org,
        "project": identity.project,
        "models": ", ".join(sorted(identity.models)) or "all",
        "classes": ", ".join(sorted(identity.classes)) or "all",
        "expires": None if expires is None else datetime.fromtimestamp(expires / 1_000, UTC).isoformat(" ", "minutes"),
        "disabled": identity.disabled,
    }


def _made(made: NewKey) -> dict[str, object]:
    return {"key": made.key, **row_of(made.identity)}


def _check(wish: KeyWish) -> None:
    unknown = sorted((wish.expose or frozenset()) - EXPOSE_ALL)
    if unknown:
        raise KeyRefused(f"--expose {unknown[0]}: is not one of {', '.join(sorted(EXPOSE_ALL))}")
    if wish.budget_status not in BUDGET_STATUSES:
        raise KeyRefused(f"--budget-status {wish.budget_status}: is not 402 or 429")

"""Keys: made here, shown once, stored only as HMAC(pepper, sha256(key))."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, Final, cast

import orjson

from gateway.domain.tenancy import ID_PATTERN, Identity
from gateway.ledger.channel import ScriptChannel
from gateway.ledger.script import load_script

KEY_PREFIX: Final = "jgk_"
KEY_BYTES: Final = 32  # 256 bits
INDEX: Final = "jg:keys"  # hash: key_id -> digest
VERSION: Final = "jg:keys:version"  # goes up with every change
SETS: Final = frozenset({"models", "classes", "expose"})


class KeyConflict(ValueError):
    """A key of that id exists already, or none does."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key just made. `key` is shown now and never again."""

    key: str
    identity: Identity


def digest_of(pepper: bytes, key: bytes) -> str:
    """What is stored of a key. sha256 first, so that plain sha256 digests of another gateway can be taken over."""
    return peppered(pepper, hashlib.sha256(key).digest())


def peppered(pepper: bytes, sha256: bytes) -> str:
    """HMAC-SHA256 of a key's sha256, in hexadecimal."""
    return hmac.digest(pepper, sha256, "sha256").hex()


class KeyStore:
    """Creates, lists, rotates and revokes keys. Raises LedgerUnavailable when Redis is away.

    Each change is one script, so that index, record and version change together.
    entropy: `secrets.token_urlsafe` or a test's own.
    """

    def __init__(self, channel: ScriptChannel, pepper: bytes, *, entropy: Callable[[int], str] = secrets.token_urlsafe):
        self._put, self._drop = (load_script(verb, prelude=False) for verb in ("put_key", "drop_key"))
        self._channel = channel
        self._pepper = pepper
        self._entropy = entropy

    async def create(self, identity: Identity) -> NewKey:
        """A new key for a new key id. Raises KeyConflict if the id is taken, ValueError for a malformed id."""
        key = KEY_PREFIX + self._entropy(KEY_BYTES)
        await self._add(identity, digest_of(self._pepper, key.encode()))
        return NewKey(key, identity)

    async def adopt(self, identity: Identity, sha256: bytes) -> None:
        """Take over a key of which only the sha256 is known; its holders keep using it."""
        await self._add(identity, peppered(self._pepper, sha256))

    async def list(self) -> list[Identity]:
        """Every key's identity, by id. Nothing of the key itself."""
        digests = cast(list[bytes], await self._channel.command("HVALS", INDEX))
        keys = [record_key(digest.decode()) for digest in digests]
        found = cast(list[bytes | None], await self._channel.command("MGET", *keys)) if keys else []
        return sorted((read_identity(record) for record in found if record), key=lambda identity: identity.key_id)

    async def rotate(self, key_id: str, *, grace_ms: int = 0, now_ms: int = 0) -> NewKey:
        """A new key for the same identity. The old one ends now, or `grace_ms` after `now_ms` (ledger time)."""
        old, identity = await self._known(key_id)
        key = KEY_PREFIX + self._entropy(KEY_BYTES)
        fresh = digest_of(self._pepper, key.encode())
        if not await self._written(identity, fresh, old, grace_ms=grace_ms, now_ms=now_ms):
            raise KeyConflict(f"the key named '{key_id}' was changed at the same time; look again")
        return NewKey(key, identity)

    async def revoke(self, key_id: str) -> Identity:
        """End a key; every gateway refuses it within a second. Raises KeyConflict if there is none."""
        digest, identity = await self._known(key_id)
        await self._channel.call(self._drop, (INDEX, VERSION, record_key(digest)), (key_id, digest))
        return identity

    async def _add(self, identity: Identity, digest: str) -> None:
        _check_ids(identity)
        if not await self._written(identity, digest, ""):
            raise KeyConflict(f"a key named '{identity.key_id}' exists; rotate or revoke it, or choose another id")

    async def _written(self, identity: Identity, digest: str, old: str, *, grace_ms: int = 0, now_ms: int = 0) -> bool:
        """Put a key in the place of `old` ("" for none); False when another stands there."""
        last = write_identity(replace(identity, expires_ms=now_ms + grace_ms))
        places = (INDEX, VERSION, record_key(digest), record_key(old))
        arguments = (identity.key_id, digest, write_identity(identity), old, last, grace_ms)
        return await self._channel.call(self._put, places, arguments) == 1

    async def _known(self, key_id: str) -> tuple[str, Identity]:
        digest = cast(bytes | None, await self._channel.command("HGET", INDEX, key_id))
        record = digest and cast(bytes | None, await self._channel.command("GET", record_key(digest.decode())))
        if digest is None or record is None:
            raise KeyConflict(f"there is no key named '{key_id}'")
        return digest.decode(), read_identity(record)


def write_identity(identity: Identity) -> bytes:
    """The record of a key: every field of its identity, as JSON."""
    values = {field.name: getattr(identity, field.name) for field in fields(identity)}
    return orjson.dumps({name: sorted(value) if name in SETS else value for name, value in values.items()})


def read_identity(record: bytes) -> Identity:
    """The identity in a record. A field of a newer version is passed over."""
    found: dict[str, Any] = orjson.loads(record)
    names = {field.name for field in fields(Identity)}
    values = {name: value for name, value in found.items() if name in names}
    for name in SETS & values.keys():
        values[name] = frozenset(values[name])
    values["tags"] = tuple(values.get("tags", ()))
    return Identity(**values)


def _check_ids(identity: Identity) -> None:
    for name in ("key_id", "team", "org", "project"):
        value = getattr(identity, name)
        if value is not None and ID_PATTERN.match(value) is None:
            raise ValueError(f"{name} '{value}' is not 1 to 64 of A-Z, a-z, 0-9, _ and -")


def record_key(digest: str) -> str:
    """Where the record of a key with that digest is."""
    return f"jg:key:{digest}"

"""Keys over the admin port: the key store in the words of that port."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.domain.faults import InvalidRequest
from gateway.domain.tenancy import Identity
from gateway.ledger.identities import KeyConflict, KeyStore


class Desk:
    """Implements `server.offices.KeyDesk`."""

    def __init__(self, store: KeyStore) -> None:
        self._store = store

    async def list(self) -> Sequence[Identity]:
        """Every key's identity."""
        return await self._store.list()

    async def create(self, identity: Identity) -> str:
        """Make a key; its text is seen here and never again."""
        try:
            return (await self._store.create(identity)).key
        except ValueError as refused:
            raise InvalidRequest(str(refused), code="invalid_body") from None

    async def revoke(self, key_id: str) -> bool:
        """Withdraw it; False for one that does not exist."""
        try:
            await self._store.revoke(key_id)
        except KeyConflict:
            return False
        return True

"""Keys to tenants."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol

from gateway.domain.tenancy import Identity


class Identities(Protocol):
    """Finds the identity behind a presented key; remembers answers, and follows changes within a second."""

    def find(self, key: bytes) -> Identity | Awaitable[Identity | None] | None:
        """The identity, or None for an unknown, disabled or expired key. Answered at once when remembered.

        Raises LedgerUnavailable when the key is not remembered and the store is away.
        """
        ...

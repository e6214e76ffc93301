"""The rules in force."""

from __future__ import annotations

from typing import Protocol

from gateway.domain.catalog import Snapshot


class Policies(Protocol):
    """Hands out the current snapshot; a request looks once and keeps it."""

    def current(self) -> Snapshot:
        """The newest valid snapshot."""
        ...

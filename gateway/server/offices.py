"""What the admin port is given: everything it shows or changes belongs to another room and arrives as a callable."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import isawaitable
from typing import Literal, Protocol, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field

from gateway.domain.budgets import BudgetStatus
from gateway.domain.tenancy import EXPOSE_ALL, Identity
from gateway.server.overview import BackendView, Overview

ID = r"^[A-Za-z0-9_-]{1,64}$"
Json = Mapping[str, object]
Exposition = tuple[bytes, str]
T = TypeVar("T")


class KeyDesk(Protocol):
    """Makes and withdraws keys. All raise LedgerUnavailable when the store is away."""

    async def list(self) -> Sequence[Identity]:
        """Every key's identity; the keys themselves are not kept."""
        ...

    async def create(self, identity: Identity) -> str:
        """Store the identity under a fresh key and return the key: the only time it is seen."""
        ...

    async def revoke(self, key_id: str) -> bool:
        """Withdraw a key for good; False for one that does not exist."""
        ...


class NewKey(BaseModel):
    """What an operator says of a key to be made. `expires_ms`: UTC milliseconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    team: str = Field(pattern=ID)
    org: str = Field(default="default", pattern=ID)
    project: str | None = Field(default=None, pattern=ID)
    name: str = Field(default="", max_length=128)
    models: frozenset[str] = frozenset()
    classes: frozenset[str] = frozenset()
    expose: frozenset[str] = EXPOSE_ALL
    budget_status: Literal[402, 429] = 402
    usage_comment: bool = False
    expires_ms: int | None = Field(default=None, gt=0)


@dataclass(frozen=True, slots=True)
class Change:
    """One line of the audit trail: what was changed over the admin port, from where, and whether it worked."""

    at_ms: int
    action: str
    target: str
    peer: str
    outcome: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Offices:
    """Whom the admin port asks. Those that may answer later ask other processes.

    metrics: an Accept header -> exposition and its content type. checks: named readiness checks, True is good; no
    configuration in the names. reload: validates and swaps everything, returns the version now in force, raises
    BadDocument. decision: how one recent request was decided. usage: rows by model and backend, of one team or all.
    """

    metrics: Callable[[str], Exposition | Awaitable[Exposition]]
    checks: Callable[[], Awaitable[Mapping[str, bool]]]
    overview: Callable[[], Awaitable[Overview]]
    keys: KeyDesk
    teams: Callable[[], Awaitable[Sequence[Json]]]
    budgets: Callable[[], Awaitable[Sequence[BudgetStatus]]]
    usage: Callable[[str | None], Awaitable[Sequence[Json]]]
    backends: Callable[[], Sequence[BackendView] | Awaitable[Sequence[BackendView]]]
    policies: Callable[[], Json]
    reload: Callable[[], Awaitable[str]]
    decision: Callable[[str], Json | Awaitable[Json | None] | None]
    audit: Callable[[Change], None]
    new_id: Callable[[], str]
    wall_ms: Callable[[], int]


async def settled(answer: T | Awaitable[T]) -> T:
    """An answer that is here, or comes later."""
    return cast(T, await answer if isawaitable(answer) else answer)

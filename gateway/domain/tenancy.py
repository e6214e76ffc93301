"""Who asks: the identity behind a key."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

ID_PATTERN = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")  # keeps ':' '{' '}' out of Redis keys and labels

EXPOSE_ALL = frozenset({"cost", "energy", "backend", "limits"})


@dataclass(frozen=True, slots=True)
class Identity:
    """The tenant of a key. Comes from the key alone, never from body, header or model name.

    `models` and `classes` are allow-lists; empty means every one. `expose`: what callers may see of
    cost, energy, backend, limits. `budget_status`: 402, or 429 for stacks that know only that.
    """

    key_id: str
    team: str
    org: str = "default"
    project: str | None = None
    name: str = ""
    models: frozenset[str] = frozenset()
    classes: frozenset[str] = frozenset()
    expose: frozenset[str] = EXPOSE_ALL
    budget_status: int = 402
    usage_comment: bool = False
    expires_ms: int | None = None
    disabled: bool = False
    tags: tuple[str, ...] = field(default=())

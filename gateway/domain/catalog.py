"""What is on offer: backends, their members, the models clients name, SLA classes, and the snapshot of them all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from gateway.domain.budgets import Budget
from gateway.domain.profile import Rates


class Objective(StrEnum):
    """What a served model's members are ranked by."""

    COST = "cost"
    ENERGY = "energy"
    CARBON = "carbon"
    PRIORITY = "priority"  # the order in which members are listed


@dataclass(frozen=True, slots=True)
class SlaClass:
    """A promise on latency. `None` bounds nothing. `target`: the share of requests that must meet every bound."""

    name: str
    ttft_ms: int | None = None
    tpot_ms: int | None = None
    e2e_ms: int | None = None
    deadline_ms: int | None = None
    target: float = 0.99
    reject_unmeetable: bool = False
    rank: int = 0  # order of declaration: a header may only move to a higher rank (a looser class)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Milliseconds one attempt may take: to connect, to the first byte, between bytes, in all."""

    connect_ms: int = 3_000
    first_byte_ms: int = 300_000
    idle_ms: int = 60_000
    total_ms: int = 900_000


@dataclass(frozen=True, slots=True)
class Latency:
    """What a profile says of speed before we have seen any: prior of the estimator. Milliseconds."""

    ttft_base_ms: float = 250.0
    ttft_per_1k_input_ms: float = 50.0
    tpot_base_ms: float = 20.0
    tpot_per_active_ms: float = 0.5


@dataclass(frozen=True, slots=True)
class Backend:
    """One deployment: its members share in-flight counts, power and health. Never from a caller."""

    name: str
    url: str
    dialect: str = "openai"
    site: str | None = None
    api_key: str | None = field(default=None, repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    on_disconnect: str = "cancel"  # or "drain"
    resend_after_send: bool = True
    timeouts: Timeouts = Timeouts()
    concurrent_max: int = 256
    ca_file: str | None = None
    simulated: bool = False


@dataclass(frozen=True, slots=True)
class Member:
    """One model on one backend: what a served model routes to. `name` is `backend/model`.

    encoding: the tokenizer that counts exactly here, or None for o200k_base times a learned ratio.
    capabilities: call kinds and needs it can serve. output_tokens_max: the longest answer it gives, per choice.
    """

    name: str
    backend: str
    upstream_model: str
    rates: Rates
    latency: Latency = Latency()
    encoding: str | None = None
    capabilities: frozenset[str] = frozenset({"chat", "completion", "tools", "json", "logprobs"})
    context_tokens_max: int | None = None
    output_tokens_max: int = 4_096
    tier: str = "default"
    max_tokens_field: str | None = None  # rename of the caller's bound where a backend knows only one spelling
    drop_fields: frozenset[str] = frozenset()
    supports_include_usage: bool = True


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A name that clients put in "model", and the members of one quality tier that may serve it."""

    name: str
    members: tuple[Member, ...]
    objective: Objective = Objective.COST
    sla_class: str | None = None
    sticky: str | None = None
    created_s: int = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """Hard bounds of one request at the door; each has a name so that an error can say which. See docs/limits.md."""

    body_bytes: int = 10 * 1024 * 1024
    messages: int = 2_048
    content_parts: int = 4_096
    json_depth: int = 64
    choices: int = 16
    concurrent_requests: int = 4_096
    answer_bytes: int = 32 * 1024 * 1024
    counted_bytes: int = 4 * 1024 * 1024  # raw stream bytes kept to be counted later if no usage comes


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All rules and facts in force, compiled. A request keeps the one it began with."""

    version: str
    models: Mapping[str, ServedModel]
    backends: Mapping[str, Backend]
    classes: Mapping[str, SlaClass]
    default_class: str
    budgets: tuple[Budget, ...] = ()
    attempts: int = 3
    tenancy_root: str = "org"
    limits: Limits = Limits()

    def members(self) -> tuple[Member, ...]:
        """Every member of every served model, in the order of declaration."""
        return tuple(member for served in self.models.values() for member in served.members)

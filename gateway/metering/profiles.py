"""`joulegate.profile/1`: a deployment's numbers as a document, checked so that a wrong one can not be served from.

A profile says what hardware draws, charges and takes, and how we know. It never says where that hardware stands: PUE,
zone, tariff and cap belong to the site. Explicit zero is zero; what is left out is unknown.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from decimal import Decimal
from functools import cached_property
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from gateway.domain.catalog import Latency
from gateway.domain.documents import load
from gateway.domain.faults import BadDocument
from gateway.metering.profile_parts import (
    Capacity,
    Embodied,
    Hardware,
    Kind,
    Model,
    Performance,
    Power,
    Price,
    PriceLine,
    ProfilePart,
    Provenance,
    ReferenceLoad,
    Uncertainty,
)

SCHEMA = "joulegate.profile/1"
GENERATES = frozenset({"chat", "completion"})
CAPABILITIES = GENERATES | {"embedding", "tools", "vision", "audio", "json", "logprobs"}
FACTOR90_OF_TIER: Mapping[str, Decimal] = {  # how far a tier's energy may be off, times or divided by, 9 times of 10
    "A": Decimal("1.05"),
    "B": Decimal("1.15"),
    "C": Decimal("1.3"),
    "D": Decimal(2),
    "E": Decimal(5),
}


class Profile(ProfilePart):
    """A deployment's numbers. `assumed` names the fields (dotted) that nobody measured."""

    schema_: Literal["joulegate.profile/1"] = Field(alias="schema")
    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._@-]*(/[a-z0-9][a-z0-9._@-]*)*$", max_length=128)]
    kind: Kind
    summary: str = ""
    fictional: bool = False
    model: Model
    tokenizer: Literal["o200k_base", "cl100k_base", "o200k_harmony"] | None = None
    capabilities: frozenset[str] = frozenset({"chat", "completion", "tools", "json", "logprobs"})
    hardware: Hardware | None = None
    power: Power | None = None
    reference_load: ReferenceLoad | None = None
    capacity: Capacity | None = None
    embodied: Embodied | None = None
    price: Price | None = None
    performance: Performance = Performance()
    uncertainty: Uncertainty = Uncertainty()
    provenance: Provenance
    assumed: tuple[str, ...] = ()

    @field_validator("capabilities")
    @classmethod
    def _known(cls, capabilities: frozenset[str]) -> frozenset[str]:
        unknown = sorted(capabilities - CAPABILITIES)
        if unknown:
            raise ValueError(f"unknown capability {', '.join(unknown)}; known: {', '.join(sorted(CAPABILITIES))}")
        return capabilities

    @field_validator("assumed")
    @classmethod
    def _no_duplicates(cls, assumed: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(assumed)) != len(assumed):
            raise ValueError("names a field twice")
        return assumed

    @model_validator(mode="after")
    def _complete(self) -> Self:
        problems = self._api_problems() if self.kind is Kind.API else self._owned_problems()
        problems += [f"assumed names '{name}', which this profile does not give" for name in self._unknown_assumed()]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def generates(self) -> bool:
        """Whether it has output tokens at all; an embedding model has none."""
        return bool(self.capabilities & GENERATES)

    @property
    def embeds(self) -> bool:
        """Whether it serves requests without any output."""
        return "embedding" in self.capabilities

    @property
    def energy_factor90(self) -> Decimal:
        """How far its energy may be off, in nine of ten cases."""
        return self.uncertainty.energy_factor90 or FACTOR90_OF_TIER[self.provenance.tier]

    @property
    def latency(self) -> Latency:
        """Its speed as the estimator's prior."""
        speed = self.performance
        return Latency(
            ttft_base_ms=float(speed.ttft_base_ms),
            ttft_per_1k_input_ms=float(speed.ttft_per_1k_input_ms),
            tpot_base_ms=float(speed.tpot_base_ms),
            tpot_per_active_ms=float(speed.tpot_per_active_ms),
        )

    @cached_property
    def version(self) -> str:
        """Twelve hex digits of the sha256 of its content, however the file is laid out."""
        content = self.model_dump(mode="json", by_alias=True)
        content["capabilities"] = sorted(self.capabilities)
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]

    def _owned_problems(self) -> list[str]:
        wanted: dict[str, ProfilePart | None] = {
            "hardware": self.hardware,
            "power": self.power,
            "reference_load": self.reference_load,
            "capacity": self.capacity,
        }
        problems = [f"a self_hosted profile needs {name}" for name, part in wanted.items() if part is None]
        if self.price is not None:
            problems.append("price is for kind api; what owned hardware costs stands in capacity")
        if self.power is not None and self.power.active_w is None:
            problems.append("a self_hosted profile needs power.idle_w and power.active_w; an explicit 0 is allowed")
        if self.power is not None and self.embeds and self.power.output_slope_j_per_token is not None:
            problems.append("an embedding has no output for a slope: give prefill_j_per_token and decode_j_per_token")
        load, side = self.reference_load, "output_tok_s" if self.generates else "input_tok_s"
        if load is not None and getattr(load, side) is None:
            problems.append(f"reference_load needs {side}")
        return problems

    def _api_problems(self) -> list[str]:
        problems = []
        if self.price is None:
            problems.append("an api profile needs price")
        elif self.generates and self.price.list_price is not None:
            lines: list[PriceLine] = [self.price.list_price, *self.price.list_price.tiers]
            if any(line.output is None for line in lines):
                problems.append("price.list_price needs output; an explicit 0 is allowed")
        if self.capacity is not None:
            problems.append("capacity is for self_hosted; what an API costs stands in price")
        if self.power is not None and self.power.active_w is not None:
            problems.append("an API's floor is shared with its other customers: give energy per token only")
        if self.embodied is not None:
            problems.append("embodied is for self_hosted: an API's hardware is shared with its other customers")
        return problems

    def _unknown_assumed(self) -> list[str]:
        return [name for name in self.assumed if not _given(self, name.split("."))]


def _given(part: object, names: list[str]) -> bool:
    for name in names:
        part = getattr(part, name, None)
        if part is None:
            return False
    return True


def read_profile(text: str, *, file: str) -> Profile:
    """A profile from its text. Raises BadDocument with one line per fault."""
    return load(text, file=file, model=Profile)


def named_as(profile: Profile, expected: str, *, file: str) -> Profile:
    """The profile, if its id is the one its place promises. Raises BadDocument."""
    if profile.id != expected:
        raise BadDocument(f"{file}:1: id: is '{profile.id}', but a file at this place holds '{expected}'")
    return profile

"""The parts of a profile: what each may hold, and which sentences tell that it does not."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from gateway.domain.documents import Section
from gateway.domain.price import ListPrice, ListTier

_SITE_KEYS = frozenset({"pue", "zone", "tariff", "usd_per_kwh", "power_cap_watts", "cap", "grid_g_per_kwh"})

NotNegative = Annotated[
    Decimal, Field(ge=0, le=10**12, decimal_places=18)
]  # bounded: exact arithmetic takes its digits
Positive = Annotated[Decimal, Field(gt=0, le=10**12, decimal_places=18)]
Factor = Annotated[Decimal, Field(ge=1, le=1_000, decimal_places=18)]
Share = Annotated[Decimal, Field(ge=0, lt=1, decimal_places=18)]


class Kind(StrEnum):
    """Whose hardware: ours, with power and capacity; or somebody's, with a price list."""

    SELF_HOSTED = "self_hosted"
    API = "api"


class Boundary(StrEnum):
    """What a power figure includes. The same server differs by 3.5 times between the first and the last."""

    GPU = "gpu"  # accelerator boards
    IT = "it"  # and their host
    FACILITY = "facility"  # and cooling and distribution
    PROVISIONED = "provisioned"  # what was bought for it: for planning, never for attribution


class ProfilePart(Section):
    """A section of a profile; a site's facts in it are refused with the place where they belong."""

    @model_validator(mode="before")
    @classmethod
    def _no_site_facts(cls, values: Any) -> Any:
        misplaced = sorted(_SITE_KEYS & values.keys()) if isinstance(values, dict) else []
        if misplaced:
            raise ValueError(f"{', '.join(misplaced)}: belongs to the site in joulegate.yaml, not to a profile")
        return values


class Model(ProfilePart):
    """What was served, by what. Parameters in billions."""

    name: str
    engine: str | None = None
    engine_version: str | None = None
    precision: str | None = None
    params_total_b: Positive | None = None
    params_active_b: Positive | None = None


class Hardware(ProfilePart):
    """The accelerators of the whole deployment."""

    gpu: str
    count: Annotated[int, Field(ge=1, le=1_000_000)]
    parallelism: str | None = None


class MeasuredPoint(ProfilePart):
    """One measured load: watts of the whole deployment, inside `power.boundary`."""

    batch: Annotated[int, Field(ge=1)] | None = None
    output_tok_s: Positive
    watts: Positive
    j_per_output_token: Positive | None = None
    itl_ms: Positive | None = None


class Valid(ProfilePart):
    """Where the numbers hold; beyond it they are extrapolated."""

    batch: tuple[int, int] | None = None
    output_tok_s: tuple[Decimal, Decimal] | None = None
    fit_error_max: Share | None = None  # worst error of the line over the measured loads


class Power(ProfilePart):
    """Watts = active (while anyone is in flight, else idle) + joules per token x tokens per second.

    Either `output_slope_j_per_token`, measured per output token with the prefill of its workload inside, or the pair
    `prefill_j_per_token` (computed input tokens) and `decode_j_per_token` (output tokens, reasoning included).
    `context_j_per_token2`: per output token and token of context. `curve`: [output tok/s, W] where no line fits.
    """

    boundary: Boundary
    idle_w: NotNegative | None = None
    active_w: NotNegative | None = None
    output_slope_j_per_token: NotNegative | None = None
    prefill_j_per_token: NotNegative | None = None
    decode_j_per_token: NotNegative | None = None
    context_j_per_token2: NotNegative = Decimal(0)
    host_factor: Factor | None = None
    curve: tuple[tuple[Positive, Positive], ...] | None = None
    measured: tuple[MeasuredPoint, ...] = ()
    valid: Valid | None = None

    @field_validator("boundary")
    @classmethod
    def _attributable(cls, boundary: Boundary) -> Boundary:
        if boundary is Boundary.PROVISIONED:
            raise ValueError("provisioned power is for planning; give measured gpu, it or facility power")
        return boundary

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        pair = (self.prefill_j_per_token, self.decode_j_per_token)
        if (self.output_slope_j_per_token is None) == (pair == (None, None)):
            raise ValueError(
                "needs either output_slope_j_per_token or the pair prefill_j_per_token, decode_j_per_token"
            )
        if self.output_slope_j_per_token is None and None in pair:
            raise ValueError("prefill_j_per_token and decode_j_per_token come as a pair; an explicit 0 is allowed")
        if (self.idle_w is None) != (self.active_w is None):
            raise ValueError("idle_w and active_w come as a pair")
        if self.idle_w is not None and self.active_w is not None and self.idle_w > self.active_w:
            raise ValueError(f"idle_w ({self.idle_w}) is above active_w ({self.active_w})")
        if self.boundary is Boundary.GPU and self.host_factor is None:
            raise ValueError("a gpu boundary needs host_factor (IT power over GPU power; 1.5 is usual)")
        if self.boundary is not Boundary.GPU and self.host_factor is not None:
            raise ValueError(
                f"host_factor has no meaning at the {self.boundary.value} boundary, which includes the host"
            )
        if self.curve is not None and any(a[0] >= b[0] for a, b in zip(self.curve, self.curve[1:], strict=False)):
            raise ValueError("curve must ascend in output tokens per second")
        return self


class ReferenceLoad(ProfilePart):
    """The load at which the active floor and the capacity's dollars are rated onto tokens."""

    output_tok_s: Positive | None = None
    input_tok_s: Positive | None = None
    note: str | None = None


class Capacity(ProfilePart):
    """What the hardware costs by the hour, without the electricity, which the site's tariff pays."""

    usd_per_gpu_hour: NotNegative
    source: str
    retrieved: date


class Embodied(ProfilePart):
    """Carbon of making the hardware, with its share of the server, over its life."""

    kg_per_gpu: NotNegative
    lifetime_s: Annotated[int, Field(gt=0)]
    source: str


class Performance(ProfilePart):
    """What we expect of its speed before we have seen any (milliseconds), and its bounds."""

    ttft_base_ms: NotNegative = Decimal(250)
    ttft_per_1k_input_ms: NotNegative = Decimal(50)
    tpot_base_ms: NotNegative = Decimal(20)
    tpot_per_active_ms: NotNegative = Decimal("0.5")
    max_concurrency: Annotated[int, Field(ge=1)] | None = None
    max_context: Annotated[int, Field(ge=1)] | None = None
    max_output: Annotated[int, Field(ge=0)] | None = None


class PriceLine(ProfilePart):
    """Dollars per million tokens. Cached input, cache writes and reasoning left out: charged as input and output."""

    input: NotNegative
    output: NotNegative | None = None
    cached_input: NotNegative | None = None
    cache_write: NotNegative | None = None
    reasoning: NotNegative | None = None
    request: NotNegative = Decimal(0)


class PriceTierLine(PriceLine):
    """A tier: above this many input tokens, every token of the request costs this."""

    above_input_tokens: Annotated[int, Field(gt=0)]


class InlinePrice(PriceLine):
    """A price list written here, with where it was read."""

    tiers: tuple[PriceTierLine, ...] = ()
    source: str
    retrieved: date

    @model_validator(mode="after")
    def _ascends(self) -> Self:
        starts = [tier.above_input_tokens for tier in self.tiers]
        if starts != sorted(set(starts)):
            raise ValueError("tiers must ascend in above_input_tokens")
        return self

    def compiled(self) -> ListPrice:
        """As the value that prices are compiled from."""
        lines: list[tuple[int, PriceLine]] = [(0, self), *((tier.above_input_tokens, tier) for tier in self.tiers)]
        return ListPrice(tuple(_list_tier(above, line) for above, line in lines), self.source)


def _list_tier(above: int, line: PriceLine) -> ListTier:
    return ListTier(above, line.input, line.output, line.cached_input, line.cache_write, line.reasoning, line.request)


class GenaiPricesReference(ProfilePart):
    """A model in the list that ships with the genai-prices package."""

    provider: str
    model: str


class Price(ProfilePart):
    """An API's list price, written here or found in genai-prices, and the discount of a contract on it."""

    list_price: InlinePrice | None = None
    genai_prices: GenaiPricesReference | None = None
    discount: Share = Decimal(0)

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.list_price is None) == (self.genai_prices is None):
            raise ValueError("needs either list_price (written here) or genai_prices (provider and model)")
        return self


class Uncertainty(ProfilePart):
    """The factor the energy is within, times or divided by, in nine of ten cases; by tier when left out."""

    energy_factor90: Factor | None = None
    split_factor90: Factor | None = None


class Provenance(ProfilePart):
    """How we know. Tier: A measured here and now, B here recently, C published benchmark, D parametric, E a guess."""

    tier: Literal["A", "B", "C", "D", "E"]
    source: str | None = None
    retrieved: date | None = None
    measured_by: str | None = None
    method: str | None = None
    workload: str | None = None
    licence: str | None = None

    @model_validator(mode="after")
    def _sourced(self) -> Self:
        if self.tier != "E" and (self.source is None or self.retrieved is None):
            raise ValueError(f"tier {self.tier} needs source and retrieved; without a source a profile is tier E")
        return self

"""A backend's numbers: what it charges, what it draws, how fast it is, and how we know.

The YAML schema is `joulegate.profile/1`; `gateway/metering/profiles.py` reads it, `gateway/metering/pricing.py`
compiles a profile and its site into `Rates`, which is all that the hot path sees.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TokenRates:
    """Flat integer rates of one price tier, compiled at load. All per token but the last three, which are per request.

    usd: pico-dollars (1e-12). energy: nanojoules at the facility boundary, None if unknown.
    """

    usd_uncached_input: int
    usd_cached_input: int
    usd_cache_write: int  # rate of the whole token, not a surcharge
    usd_output: int
    usd_reasoning: int
    usd_request: int
    energy_uncached_input: int | None
    energy_output: int | None
    energy_request: int | None


@dataclass(frozen=True, slots=True)
class PriceTier:
    """Rates that hold for all tokens of a request once its input passes `above_input_tokens` (cliff semantics)."""

    above_input_tokens: int
    marginal: TokenRates
    rated: TokenRates


@dataclass(frozen=True, slots=True)
class Rates:
    """A member's compiled prices: a pure function of profile version and site. `tiers` ascend, the first from 0.

    carbon: micrograms per kilojoule of facility energy, i.e. g/kWh * 1e6 / 3600; None if the grid is unknown.
    embodied_ug_per_busy_s: embodied carbon per second of the whole deployment; goes to attributed only.
    idle_mw, active_mw: milliwatts at the facility boundary; None where power is unknown (closed APIs).
    usd_picos_per_s: what the deployment costs per second while anyone is in flight beside their tokens' energy:
    capacity and the active floor's electricity (0 on an API); attributed uses it. usd_picos_per_idle_s: the same while
    nobody is: capacity and idle electricity.
    energy_tier: A (measured here and now) to E (order of magnitude).
    """

    profile_id: str
    profile_version: str
    tiers: tuple[PriceTier, ...]
    carbon_ug_per_kj: int | None
    embodied_ug_per_busy_s: int
    idle_mw: int | None
    active_mw: int | None
    usd_picos_per_s: int
    energy_tier: str
    energy_boundary: str
    energy_factor90: float
    zone: str | None
    fictional: bool = False
    usd_picos_per_idle_s: int = 0

"""Profiles compiled to integer rates, at load: the one place where prices and energies are decimals and fractions."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import astuple, dataclass, replace
from decimal import Decimal
from fractions import Fraction

from gateway.domain.faults import BadDocument
from gateway.domain.price import ListPrice, ListTier
from gateway.domain.profile import PriceTier, Rates, TokenRates
from gateway.domain.site import GridFactor, Site
from gateway.metering.carbon import factor_at, ug_per_kj
from gateway.metering.profile_parts import Boundary, Kind, Power
from gateway.metering.profiles import Profile
from gateway.metering.rounding import nearest

PICOS_PER_USD = 10**12
NJ_PER_J = 10**9
J_PER_KWH = 3_600_000
UG_PER_KG = 10**9
TOKENS_PER_PRICE = 1_000_000
RATE_MAX = 2**53  # nine thousand dollars a token: beyond it something is written wrong, and counters would overflow


@dataclass(frozen=True, slots=True)
class _Energy:
    """Facility energy: joules per token, and watts of the whole deployment."""

    input_j: Fraction
    output_j: Fraction
    idle_w: Fraction
    active_w: Fraction


def compile_rates(
    profile: Profile, site: Site | None, grid: GridFactor | None, *, list_price: ListPrice | None = None
) -> Rates:
    """A profile at a site as integers. `list_price`: what `price.genai_prices` refers to, found by the caller.

    Raises BadDocument where a cost can not be derived; energy and carbon that can not are unknown instead.
    """
    energy = _facility_energy(profile, site)
    factor = factor_at(site, grid)
    if profile.kind is Kind.API:
        tiers = _api_tiers(profile, _price_list(profile, list_price), energy)
        busy, idle = Fraction(0), Fraction(0)
    else:
        if site is None or energy is None:
            raise BadDocument(f"profile {profile.id}: its backend needs a site, which knows PUE and tariff")
        tiers, busy, idle = _owned(profile, site, energy)
    return _versioned(
        profile,
        Rates(
            profile_id=profile.id,
            profile_version="",
            tiers=tiers,
            carbon_ug_per_kj=None if factor is None else ug_per_kj(factor.g_per_kwh),
            embodied_ug_per_busy_s=_embodied_ug_per_s(profile),
            idle_mw=None if energy is None else nearest(energy.idle_w * 1_000),
            active_mw=None if energy is None else nearest(energy.active_w * 1_000),
            usd_picos_per_s=nearest(busy * PICOS_PER_USD),
            energy_tier=profile.provenance.tier,
            energy_boundary=Boundary.FACILITY.value,
            energy_factor90=float(profile.energy_factor90),
            zone=factor.zone if factor else site.zone if site else None,
            fictional=profile.fictional,
            usd_picos_per_idle_s=nearest(idle * PICOS_PER_USD),
        ),
    )


def _versioned(profile: Profile, rates: Rates) -> Rates:
    """The version names the content and what it was compiled to: a tariff's change is a new version too."""
    if max(_integers(rates)) > RATE_MAX:
        raise BadDocument(f"profile {profile.id}: with this site it has a rate too large to be counted")
    compiled = hashlib.sha256(repr(rates).encode()).hexdigest()[:8]
    return replace(rates, profile_version=f"{profile.version}.{compiled}")


def _integers(rates: Rates) -> Iterator[int]:
    """Every rate of every tier, and those of the deployment."""
    parts = [astuple(side) for tier in rates.tiers for side in (tier.marginal, tier.rated)]
    parts.append((rates.active_mw, rates.usd_picos_per_s, rates.carbon_ug_per_kj, rates.embodied_ug_per_busy_s))
    return (rate for part in parts for rate in part if rate is not None)


def _facility_energy(profile: Profile, site: Site | None) -> _Energy | None:
    power = profile.power
    if power is None:
        return None
    scale = _to_facility(power, site)
    if scale is None:
        return None
    slope = power.output_slope_j_per_token
    input_j, output_j = (
        (Decimal(0), slope) if slope is not None else (power.prefill_j_per_token, power.decode_j_per_token)
    )
    return _Energy(
        input_j=Fraction(input_j or 0) * scale,
        output_j=Fraction(output_j or 0) * scale,
        idle_w=Fraction(power.idle_w or 0) * scale,  # left out on an API only: its floor is in its joules per token
        active_w=Fraction(power.active_w or 0) * scale,
    )


def _to_facility(power: Power, site: Site | None) -> Fraction | None:
    """What one joule inside the declared boundary draws at the facility's meter; None without a site's PUE."""
    if power.boundary is Boundary.FACILITY:
        return Fraction(1)
    if site is None:
        return None
    return Fraction(site.pue) * Fraction(power.host_factor or 1)


def _owned(profile: Profile, site: Site, energy: _Energy) -> tuple[tuple[PriceTier, ...], Fraction, Fraction]:
    """Rates, and dollars per busy and per idle second: capacity plus the electricity of floor and idle power."""
    usd_per_j = Fraction(site.usd_per_kwh) / J_PER_KWH
    capacity = _capacity_usd_per_s(profile)
    busy = capacity + energy.active_w * usd_per_j
    marginal_rates = _token_rates(energy.input_j, energy.output_j, usd_per_j)
    rated_rates = _with_floor(profile, energy, busy, usd_per_j)
    return (PriceTier(0, marginal_rates, rated_rates),), busy, capacity + energy.idle_w * usd_per_j


def _with_floor(profile: Profile, energy: _Energy, busy: Fraction, usd_per_j: Fraction) -> TokenRates:
    """Marginal rates plus the floor at the reference load, on output tokens, or on input where there is no output."""
    load = profile.reference_load
    tok_s = load and (load.output_tok_s if profile.generates else load.input_tok_s)
    if not tok_s:
        raise BadDocument(f"profile {profile.id}: reference_load is required")
    floor_j, floor_usd = energy.active_w / Fraction(tok_s), busy / Fraction(tok_s)
    if profile.generates:
        return _token_rates(
            energy.input_j, energy.output_j + floor_j, usd_per_j,
            output_usd=energy.output_j * usd_per_j + floor_usd,
        )  # fmt: skip
    return _token_rates(
        energy.input_j + floor_j, energy.output_j, usd_per_j,
        input_usd=energy.input_j * usd_per_j + floor_usd,
    )  # fmt: skip


def _token_rates(
    input_j: Fraction,
    output_j: Fraction,
    usd_per_j: Fraction,
    *,
    input_usd: Fraction | None = None,
    output_usd: Fraction | None = None,
) -> TokenRates:
    """Rates of owned hardware; dollars are the energy's unless given. A cached input token is not computed: nothing."""
    usd_input = nearest((input_j * usd_per_j if input_usd is None else input_usd) * PICOS_PER_USD)
    usd_output = nearest((output_j * usd_per_j if output_usd is None else output_usd) * PICOS_PER_USD)
    return TokenRates(
        usd_uncached_input=usd_input,
        usd_cached_input=0,
        usd_cache_write=usd_input,
        usd_output=usd_output,
        usd_reasoning=usd_output,
        usd_request=0,
        energy_uncached_input=nearest(input_j * NJ_PER_J),
        energy_output=nearest(output_j * NJ_PER_J),
        energy_request=0,
    )


def _price_list(profile: Profile, found: ListPrice | None) -> ListPrice:
    if profile.price is not None and profile.price.list_price is not None:
        return profile.price.list_price.compiled()
    if found is None:
        raise BadDocument(f"profile {profile.id}: its list price was not found")
    if profile.generates and any(tier.output is None for tier in found.tiers):
        raise BadDocument(f"profile {profile.id}: {found.source} has no price of output tokens")
    return found


def _api_tiers(profile: Profile, prices: ListPrice, energy: _Energy | None) -> tuple[PriceTier, ...]:
    discount = profile.price.discount if profile.price is not None else Decimal(0)
    rates = [_api_rates(tier, 1 - Fraction(discount), energy) for tier in prices.tiers]
    return tuple(PriceTier(tier.above_input_tokens, rate, rate) for tier, rate in zip(prices.tiers, rates, strict=True))


def _api_rates(tier: ListTier, kept: Fraction, energy: _Energy | None) -> TokenRates:
    def picos(usd: Decimal | None, otherwise: Decimal) -> int:
        """Pico-dollars per token of dollars per million, the contract's discount taken off."""
        return nearest(Fraction(otherwise if usd is None else usd) * kept * PICOS_PER_USD / TOKENS_PER_PRICE)

    output = tier.output or Decimal(0)  # left out only where the model has none, see _price_list

    return TokenRates(
        usd_uncached_input=picos(tier.input, tier.input),
        usd_cached_input=picos(tier.cached_input, tier.input),
        usd_cache_write=picos(tier.cache_write, tier.input),
        usd_output=picos(output, output),
        usd_reasoning=picos(tier.reasoning, output),
        usd_request=nearest(Fraction(tier.request) * kept * PICOS_PER_USD),
        energy_uncached_input=None if energy is None else nearest(energy.input_j * NJ_PER_J),
        energy_output=None if energy is None else nearest(energy.output_j * NJ_PER_J),
        energy_request=None if energy is None else 0,
    )


def _capacity_usd_per_s(profile: Profile) -> Fraction:
    if profile.capacity is None or profile.hardware is None:
        return Fraction(0)
    return Fraction(profile.capacity.usd_per_gpu_hour) * profile.hardware.count / 3_600


def _embodied_ug_per_s(profile: Profile) -> int:
    if profile.embodied is None or profile.hardware is None:
        return 0
    each = Fraction(profile.embodied.kg_per_gpu) * UG_PER_KG / profile.embodied.lifetime_s
    return nearest(each * profile.hardware.count)

"""What a request costs: a handful of integer multiplications on compiled rates.

Inside: pico-dollars and nanojoules; rounded once per request, half-even, to nano-dollars, millijoules and micrograms.
"""

from __future__ import annotations

from gateway.domain.amounts import Amounts
from gateway.domain.profile import PriceTier, Rates, TokenRates
from gateway.domain.usage import TokenUsage
from gateway.metering.carbon import micrograms
from gateway.metering.rates import compile_rates
from gateway.metering.rounding import half_even

__all__ = ["compile_rates", "marginal", "rated"]

PICOS_PER_NANO = 1_000
NJ_PER_MJ = 1_000_000  # millijoules


def marginal(rates: Rates, usage: TokenUsage, *, up: bool = False) -> Amounts:
    """What changes if these tokens are produced here: routing ranks by it. `up`: dollars rounded up, for holds."""
    tiers = rates.tiers
    tier = tiers[0] if len(tiers) == 1 else _tier(tiers, usage.input_tokens)
    return _amounts(tier.marginal, usage, rates.carbon_ug_per_kj, up)


def rated(rates: Rates, usage: TokenUsage, *, up: bool = False) -> Amounts:
    """What budgets, headers and bills say these tokens cost. `up`: dollars rounded up, for holds."""
    tiers = rates.tiers
    tier = tiers[0] if len(tiers) == 1 else _tier(tiers, usage.input_tokens)
    return _amounts(tier.rated, usage, rates.carbon_ug_per_kj, up)


def _tier(tiers: tuple[PriceTier, ...], input_tokens: int) -> PriceTier:
    for tier in reversed(tiers):
        if input_tokens > tier.above_input_tokens:
            return tier
    return tiers[0]


def _amounts(token: TokenRates, usage: TokenUsage, carbon_ug_per_kj: int | None, up: bool) -> Amounts:
    inputs, outputs = usage.input_tokens, usage.output_tokens
    cached, written, reasoning = usage.cached_input_tokens, usage.cache_write_tokens, usage.reasoning_tokens
    picos = token.usd_request + token.usd_uncached_input * inputs + token.usd_output * outputs
    if cached or written or reasoning:
        if cached + written > inputs or reasoning > outputs:  # parts above their whole: never charge a negative rest
            cached = min(cached, inputs)
            written = min(written, inputs - cached)
            reasoning = min(reasoning, outputs)
        picos += (token.usd_cached_input - token.usd_uncached_input) * cached
        picos += (token.usd_cache_write - token.usd_uncached_input) * written
        picos += (token.usd_reasoning - token.usd_output) * reasoning
    nanos = -(-picos // PICOS_PER_NANO) if up else half_even(picos, PICOS_PER_NANO)
    per_input, per_output, per_request = token.energy_uncached_input, token.energy_output, token.energy_request
    if per_input is None or per_output is None or per_request is None:
        return Amounts(nanos, None, None, inputs + outputs, 1)
    energy_nj = per_request + per_input * (inputs - cached) + per_output * outputs
    carbon = None if carbon_ug_per_kj is None else micrograms(energy_nj, carbon_ug_per_kj)
    return Amounts(nanos, half_even(energy_nj, NJ_PER_MJ), carbon, inputs + outputs, 1)

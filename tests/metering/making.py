"""Factories: say only what matters, the rest is filled in."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from gateway.domain.profile import PriceTier, Rates, TokenRates
from gateway.domain.site import Site
from gateway.domain.usage import Basis, TokenUsage
from gateway.metering.profiles import Profile

# Profile T of the worked cases: 300 W idle, 1,670 W busy, 0.06 J per computed prompt token, 0.10 J per output token.
T = {
    "schema": "joulegate.profile/1",
    "id": "t",
    "kind": "self_hosted",
    "model": {"name": "t"},
    "hardware": {"gpu": "H100", "count": 4},
    "power": {
        "boundary": "gpu",
        "idle_w": 300,
        "active_w": 1670,
        "prefill_j_per_token": "0.06",
        "decode_j_per_token": "0.10",
        "host_factor": 1,
    },
    "reference_load": {"output_tok_s": 2500},
    "capacity": {"usd_per_gpu_hour": "1.30", "source": "test", "retrieved": "2026-11-23"},
    "provenance": {"tier": "E"},
}

API = {
    "schema": "joulegate.profile/1",
    "id": "api",
    "kind": "api",
    "model": {"name": "api"},
    "price": {
        "list_price": {
            "input": "2.50",
            "cached_input": "1.25",
            "output": "10",
            "source": "t",
            "retrieved": "2026-11-23",
        }
    },
    "provenance": {"tier": "E"},
}


def a_profile(base: Mapping[str, object] = T, /, **changes: object) -> Profile:
    """`power__idle_w=5` changes one field of a section, `power=None` takes the section away."""
    content: dict[str, object] = {**base}
    for name, value in changes.items():
        section, _, field = name.partition("__")
        if not field:
            content[section] = value
            continue
        inside = dict(content[section])  # type: ignore[call-overload]
        inside[field] = value
        content[section] = {key: kept for key, kept in inside.items() if kept is not None}
    return Profile.model_validate({key: value for key, value in content.items() if value is not None})


def a_site(pue: str = "1", usd_per_kwh: str = "0", **others: object) -> Site:
    return Site("here", Decimal(pue), Decimal(usd_per_kwh), **others)  # type: ignore[arg-type]


def a_usage(input_tokens: int = 0, output_tokens: int = 0, **parts: int) -> TokenUsage:
    return TokenUsage(input_tokens=input_tokens, output_tokens=output_tokens, basis=Basis.PROVIDER, **parts)


NO_RATES = TokenRates(0, 0, 0, 0, 0, 0, 0, 0, 0)


def flat_rates(
    idle_mw: int | None = 300_000,
    active_mw: int | None = 1_670_000,
    usd_picos_per_s: int = 0,
    usd_picos_per_idle_s: int = 0,
    carbon_ug_per_kj: int | None = 0,
    embodied_ug_per_busy_s: int = 0,
) -> Rates:
    return Rates(
        profile_id="t",
        profile_version="0",
        tiers=(PriceTier(0, NO_RATES, NO_RATES),),
        carbon_ug_per_kj=carbon_ug_per_kj,
        embodied_ug_per_busy_s=embodied_ug_per_busy_s,
        idle_mw=idle_mw,
        active_mw=active_mw,
        usd_picos_per_s=usd_picos_per_s,
        energy_tier="E",
        energy_boundary="facility",
        energy_factor90=5.0,
        zone=None,
        usd_picos_per_idle_s=usd_picos_per_idle_s,
    )

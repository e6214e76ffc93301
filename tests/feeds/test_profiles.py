"""The profiles that ship: each true to its source, each in its place, each compilable."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from gateway.domain.faults import BadDocument
from gateway.domain.profile import Rates
from gateway.domain.site import Site
from gateway.domain.usage import Basis, TokenUsage
from gateway.feeds.packaged import packaged_path
from gateway.feeds.prices import list_price
from gateway.feeds.profiles import load_profiles, packaged_profiles
from gateway.metering.pricing import compile_rates, marginal, rated
from gateway.metering.profiles import Profile

PROFILES = packaged_profiles()
MEASURED = {name: profile for name, profile in PROFILES.items() if profile.provenance.tier == "C"}
SITE = Site("lab", Decimal("1.2"), Decimal("0.10"))
ANSWER = TokenUsage(400, 0, 0, 354, 0, Basis.PROVIDER)


def compiled(profile: Profile) -> Rates:
    reference = profile.price.genai_prices if profile.price else None
    found = list_price(reference.provider, reference.model, date(2026, 11, 23)) if reference else None
    return compile_rates(profile, SITE, None, list_price=found)


def test_seventeen_measured_deployments_ship_with_source_date_and_licence() -> None:
    assert len(MEASURED) == 17
    for profile in MEASURED.values():
        source = profile.provenance
        assert "ML.ENERGY" in (source.source or "")
        assert (source.retrieved, source.licence) == (date(2026, 11, 23), "Apache-2.0")
        assert {"power.idle_w", "power.host_factor", "capacity.usd_per_gpu_hour"} <= set(profile.assumed)
        assert not profile.fictional


@pytest.mark.parametrize("name", sorted(MEASURED))
def test_the_line_meets_the_measured_points_within_its_stated_error(name: str) -> None:
    power = MEASURED[name].power
    assert power is not None
    assert power.valid is not None
    assert power.valid.fit_error_max is not None
    for point in power.measured:
        line_w = (power.active_w or 0) + (power.output_slope_j_per_token or 0) * point.output_tok_s
        assert abs(line_w / point.watts - 1) <= power.valid.fit_error_max + Decimal("0.01"), point
        assert point.j_per_output_token is not None
        assert abs(point.watts / point.output_tok_s / point.j_per_output_token - 1) < Decimal("0.02"), point


@pytest.mark.parametrize("name", sorted(MEASURED))
def test_a_deployment_is_rated_as_it_was_measured_at_its_reference_load(name: str) -> None:
    profile = MEASURED[name]
    power, load = profile.power, profile.reference_load
    assert power is not None
    assert power.valid is not None
    assert load is not None
    measured = next(point for point in power.measured if point.output_tok_s == load.output_tok_s)

    energy_mj = rated(compiled(profile), TokenUsage(0, 0, 0, 1_000, 0, Basis.PROVIDER)).energy_mj

    facility = float(measured.j_per_output_token or 0) * 1.5 * 1.2 * 1_000_000
    assert energy_mj == pytest.approx(facility, rel=float(power.valid.fit_error_max or 0) + 0.02)


def test_a_million_tokens_of_a_70b_cost_capacity_and_a_little_electricity() -> None:
    """4 x $1.30 an hour at 2,511 tokens/s is $0.575; 0.798 J x 1.8 at $0.10/kWh is $0.040, of which 0.0066 marginal."""
    rates = compiled(PROFILES["llama-3.1-70b@4xh100"])
    million = TokenUsage(0, 0, 0, 1_000_000, 0, Basis.PROVIDER)

    assert marginal(rates, million).usd_nanos == pytest.approx(6_640_000, rel=0.001)
    assert rated(rates, million).usd_nanos == pytest.approx(575_200_000 + 39_900_000, rel=0.001)


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_every_profile_compiles_and_charges_something_it_can_name(name: str) -> None:
    rates = compiled(PROFILES[name])

    assert rated(rates, ANSWER).usd_nanos > 0
    assert rates.profile_version.startswith(PROFILES[name].version)
    assert rates.fictional is PROFILES[name].fictional


def test_the_demo_trio_is_fictional_and_its_cheapest_is_its_slowest() -> None:
    trio = {name: profile for name, profile in PROFILES.items() if name.startswith("demo/")}
    prices = {name: marginal(compiled(profile), ANSWER).usd_nanos for name, profile in trio.items()}
    bills = {name: rated(compiled(profile), ANSWER) for name, profile in trio.items()}

    by_price = sorted(trio, key=lambda name: prices[name])

    assert by_price == ["demo/thrifty", "demo/steady", "demo/swift"]
    assert sorted(trio, key=lambda name: bills[name].usd_nanos) == by_price
    assert sorted(trio, key=lambda name: bills[name].energy_mj or 0) == by_price
    assert sorted(trio, key=lambda name: -trio[name].latency.tpot_base_ms) == by_price
    assert sorted(trio, key=lambda name: -trio[name].latency.ttft_base_ms) == by_price
    assert all(profile.fictional for profile in trio.values())
    assert {profile.kind.value for profile in trio.values()} == {"api", "self_hosted"}


def test_a_hosted_model_whose_energy_nobody_published_has_none() -> None:
    rates = compiled(PROFILES["openai/gpt-4o-mini"])

    assert rated(rates, ANSWER).energy_mj is None
    assert rated(rates, ANSWER).usd_nanos == 272_400  # 400 x $0.15/M + 354 x $0.60/M
    assert rates.energy_tier == "E"


def test_a_profile_in_the_wrong_place_and_one_with_a_fault_are_told_together(tmp_path: Path) -> None:
    good = packaged_path("policies", "profiles", "demo", "swift.yaml").read_text(encoding="utf-8")
    (tmp_path / "a.yaml").write_text(good, encoding="utf-8")
    (tmp_path / "b.yaml").write_text(good.replace("kind: api", "knd: api"), encoding="utf-8")
    (tmp_path / "c.yaml").write_bytes(b"\xff\xfe")

    with pytest.raises(BadDocument) as caught:
        load_profiles(tmp_path)

    said = str(caught.value)
    assert "a file at this place holds 'a'" in said
    assert "knd: unknown key; did you mean 'kind'?" in said
    assert "c.yaml: can not be read" in said

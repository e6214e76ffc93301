"""Profiles compiled: boundaries, floors, list prices; and the published figures they reproduce."""

from __future__ import annotations

from decimal import Decimal

import pytest

from gateway.domain.faults import BadDocument
from gateway.domain.price import ListPrice, ListTier
from gateway.domain.profile import Rates, TokenRates
from gateway.domain.site import GridFactor
from gateway.metering.attribution import Accumulator, attributed
from gateway.metering.pricing import compile_rates, marginal, rated
from gateway.metering.profiles import Profile
from tests.metering.making import API, a_profile, a_site, a_usage

FRANCE = GridFactor("FR", Decimal("56.039"), 2023, "a table")


def rated_of(rates: Rates) -> TokenRates:
    return rates.tiers[0].rated


def marginal_of(rates: Rates) -> TokenRates:
    return rates.tiers[0].marginal


def test_a_joule_on_the_board_is_more_at_the_meter() -> None:
    """177.8 J on GPUs, host factor 1.5, PUE 1.2: 320.0 J, which is 0.0889 Wh."""
    profile = a_profile(power__host_factor="1.5", power__decode_j_per_token="0.1778")
    rates = compile_rates(profile, a_site("1.2"), None)

    amounts = marginal(rates, a_usage(0, 1_000))

    assert amounts.energy_mj == 320_040
    assert rates.energy_boundary == "facility"
    assert (rates.idle_mw, rates.active_mw) == (540_000, 3_006_000)  # 300 W and 1,670 W, 1.8 times


@pytest.mark.parametrize(
    ("boundary", "host_factor", "factor"), [("gpu", "1.5", "1.8"), ("it", None, "1.2"), ("facility", None, "1")]
)
def test_each_boundary_is_brought_to_the_facility_once(boundary: str, host_factor: str | None, factor: str) -> None:
    profile = a_profile(power__boundary=boundary, power__host_factor=host_factor)

    rates = compile_rates(profile, a_site("1.2"), None)

    assert marginal_of(rates).energy_output == int(Decimal("0.10") * Decimal(factor) * 10**9)


def test_googles_median_prompt_is_its_parts_times_its_pue() -> None:
    """R3: (0.14 + 0.06 + 0.02) Wh x 1.09 = 0.2398 Wh, published as 0.24."""
    it_joules_per_prompt = (Decimal("0.14") + Decimal("0.06") + Decimal("0.02")) * 3_600
    profile = a_profile(
        power__boundary="it", power__host_factor=None, power__decode_j_per_token=it_joules_per_prompt
    )  # one prompt as one token

    rates = compile_rates(profile, a_site("1.09"), None)

    assert marginal(rates, a_usage(0, 1)).energy_mj == 863_280  # 0.2398 Wh


@pytest.mark.parametrize(
    ("active_w", "slope", "tok_s", "published_j", "worst"),
    [
        (1671, "0.1328", 2511, 0.797, 0.002),  # R4: Llama-3.1-70B, 4 x H100, batch 64
        (477, "0.0236", 9806, 0.0702, 0.030),  # R5: Llama-3.1-8B, 1 x H100, batch 511
        (3084, "0.7925", 2363, 2.063, 0.018),  # R6: Llama-3.1-405B-FP8, 8 x H100, batch 255
    ],
)
def test_measured_joules_per_token_come_back_at_their_load(
    active_w: int, slope: str, tok_s: int, published_j: float, worst: float
) -> None:
    profile = slope_profile(active_w, slope, tok_s)

    rates = compile_rates(profile, a_site("1"), None)

    got_mj = rated(rates, a_usage(700, tok_s)).energy_mj
    assert got_mj is not None
    assert got_mj / 1_000 / tok_s == pytest.approx(published_j, rel=worst)
    assert got_mj == pytest.approx(
        active_w * 1_000 + float(slope) * tok_s * 1_000, abs=1
    )  # a second of floor, and the tokens


def slope_profile(active_w: int, slope: str, tok_s: int) -> Profile:
    power = {"boundary": "gpu", "idle_w": 0, "active_w": active_w, "host_factor": 1, "output_slope_j_per_token": slope}
    return a_profile(power=power, reference_load={"output_tok_s": tok_s})


def test_a_slope_that_includes_the_prefill_charges_output_alone() -> None:
    rates = compile_rates(slope_profile(1671, "0.1328", 2511), a_site("1", "0.10"), None)

    assert marginal(rates, a_usage(100_000, 0)).energy_mj == 0
    assert marginal(rates, a_usage(0, 1_000)).energy_mj == 132_800


def test_electricity_is_the_marginal_price_of_owned_hardware() -> None:
    rates = compile_rates(a_profile(power__decode_j_per_token="3.6"), a_site("1", "0.10"), None)

    assert marginal(rates, a_usage(0, 1_000_000)).usd_nanos == 100_000_000  # 1 kWh


def test_a_saturated_hour_is_rated_at_what_it_costs() -> None:
    """4 GPUs x $1.30 and (1,670 W + 0.10 J x 2,500/s) x 1 h at $0.10/kWh, on 9,000,000 tokens."""
    rates = compile_rates(a_profile(), a_site("1", "0.10"), None)

    amounts = rated(rates, a_usage(0, 9_000_000))

    assert amounts.energy_mj == pytest.approx(1_920 * 3_600_000, rel=1e-9)
    assert amounts.usd_nanos == pytest.approx((5.20 + 1.920 * 0.10) * 10**9, rel=1e-5)


def test_at_the_reference_load_rated_and_attributed_agree() -> None:
    rates = compile_rates(a_profile(), a_site("1.2", "0.10"), FRANCE)
    books = Accumulator(rates, now=0.0)

    base = books.depart(books.arrive(0.0), 4.0)  # four seconds, alone, at 2,500 tokens a second
    shared = attributed(marginal(rates, a_usage(500, 10_000)), base)
    said = rated(rates, a_usage(500, 10_000))

    assert shared.energy_mj == said.energy_mj
    assert shared.usd_nanos == pytest.approx(said.usd_nanos, rel=1e-5)


def test_a_model_without_output_bears_its_floor_on_input() -> None:
    profile = a_profile(capabilities=["embedding"], reference_load={"input_tok_s": 10_000})

    rates = compile_rates(profile, a_site("1", "0.10"), None)

    assert rated(rates, a_usage(10_000, 0)).energy_mj == 600_000 + 1_670_000  # 10,000 x 0.06 J, and 1,670 W for 1 s
    assert rated_of(rates).usd_uncached_input > marginal_of(rates).usd_uncached_input
    assert rated_of(rates).usd_output == marginal_of(rates).usd_output


def test_cached_input_is_not_computed_so_it_takes_no_energy_on_owned_hardware() -> None:
    rates = compile_rates(a_profile(), a_site("1", "0.10"), None)

    assert marginal(rates, a_usage(1_000, 0, cached_input_tokens=1_000)).energy_mj == 0


def test_a_cached_token_of_an_api_has_its_price_and_a_list_without_one_charges_it_as_input() -> None:
    price = ListPrice((ListTier(0, Decimal(3), Decimal(15)),), "test")
    reference = {"genai_prices": {"provider": "x", "model": "y"}}

    listed = compile_rates(a_profile(API), None, None)
    bare = compile_rates(a_profile(API, price=reference), None, None, list_price=price)

    assert rated_of(listed).usd_cached_input == 1_250_000
    assert rated_of(bare).usd_cached_input == rated_of(bare).usd_uncached_input == 3_000_000
    assert rated_of(bare).usd_reasoning == rated_of(bare).usd_output == 15_000_000


def test_a_contracts_discount_comes_off_every_rate() -> None:
    inline = {"input": "2.50", "output": "10", "request": "0.01", "source": "t", "retrieved": "2026-11-23"}

    rates = compile_rates(a_profile(API, price={"list_price": inline, "discount": "0.2"}), None, None)

    assert rated_of(rates).usd_uncached_input == 2_000_000
    assert rated_of(rates).usd_output == 8_000_000
    assert rated_of(rates).usd_request == 8_000_000_000
    assert marginal_of(rates) == rated_of(rates)


def test_an_apis_energy_is_unknown_and_its_capacity_is_nothing() -> None:
    rates = compile_rates(a_profile(API), a_site(zone="FR"), FRANCE)

    assert rated(rates, a_usage(10, 10)).energy_mj is None
    assert (rates.active_mw, rates.idle_mw, rates.usd_picos_per_s, rates.usd_picos_per_idle_s) == (None, None, 0, 0)
    assert rates.energy_tier == "E"


def test_an_api_whose_vendor_publishes_joules_per_token_has_no_floor_of_ours() -> None:
    power = {"boundary": "facility", "prefill_j_per_token": "0.04", "decode_j_per_token": "5"}

    rates = compile_rates(a_profile(API, power=power), None, None)

    assert rated(rates, a_usage(100, 100)).energy_mj == 4_000 + 500_000
    assert (rates.active_mw, rates.idle_mw) == (0, 0)  # so attributed adds a known zero, not an unknown


def test_board_power_of_an_api_without_a_site_can_not_be_brought_to_the_meter() -> None:
    power = {"boundary": "it", "prefill_j_per_token": 0, "decode_j_per_token": 1}

    assert rated(compile_rates(a_profile(API, power=power), None, None), a_usage(1, 1)).energy_mj is None


def test_carbon_follows_the_grid_and_is_unknown_without_one() -> None:
    known = compile_rates(a_profile(), a_site(zone="FR"), FRANCE)
    unknown = compile_rates(a_profile(), a_site(zone="AU-NSW"), None)

    assert (known.carbon_ug_per_kj, known.zone) == (15_566, "FR")  # 56.039 g/kWh
    assert (unknown.carbon_ug_per_kj, unknown.zone) == (None, "AU-NSW")
    assert rated(unknown, a_usage(1, 1)).carbon_ug is None


def test_making_the_hardware_weighs_ten_milligrams_a_second_and_gpu() -> None:
    embodied = {"kg_per_gpu": "985.5", "lifetime_s": 94_608_000, "source": "test"}

    rates = compile_rates(a_profile(embodied=embodied), a_site(), None)

    assert rates.embodied_ug_per_busy_s == 41_667  # 4 x 10.4167 mg


def test_an_hour_of_idling_costs_its_capacity_and_its_idle_power() -> None:
    rates = compile_rates(a_profile(), a_site("1", "0.10"), None)

    assert rates.usd_picos_per_idle_s == pytest.approx((5.20 + 0.03) / 3_600 * 10**12, rel=1e-9)
    assert rates.usd_picos_per_s == pytest.approx((5.20 + 0.167) / 3_600 * 10**12, rel=1e-9)


def test_own_hardware_without_a_site_has_no_price() -> None:
    with pytest.raises(BadDocument, match="profile t: its backend needs a site"):
        compile_rates(a_profile(), None, None)


def test_a_price_that_was_not_found_is_not_zero() -> None:
    profile = a_profile(API, price={"genai_prices": {"provider": "x", "model": "y"}})

    with pytest.raises(BadDocument, match="its list price was not found"):
        compile_rates(profile, None, None)
    with pytest.raises(BadDocument, match="has no price of output tokens"):
        compile_rates(profile, None, None, list_price=ListPrice((ListTier(0, Decimal(1), None),), "a list"))


def test_a_change_of_tariff_is_another_version_of_the_same_profile() -> None:
    cheap = compile_rates(a_profile(), a_site("1", "0.10"), None).profile_version
    dear = compile_rates(a_profile(), a_site("1", "0.20"), None).profile_version
    again = compile_rates(a_profile(), a_site("1", "0.10"), None).profile_version

    assert cheap != dear
    assert cheap == again
    assert cheap.split(".")[0] == dear.split(".")[0] == a_profile().version


def test_a_tariff_that_no_counter_could_hold_is_refused() -> None:
    with pytest.raises(BadDocument, match="a rate too large to be counted"):
        compile_rates(a_profile(), a_site("1", "1e99999"), None)

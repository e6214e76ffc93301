"""A price is a few exact multiplications, rounded once: worked cases by hand, laws by generated attacks."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.amounts import Amounts
from gateway.domain.price import ListPrice, ListTier
from gateway.domain.profile import PriceTier, Rates, TokenRates
from gateway.domain.usage import TokenUsage
from gateway.metering.pricing import compile_rates, marginal, rated
from tests.metering.making import API, a_profile, a_site, a_usage, flat_rates


def rates_of(token: TokenRates, *above: tuple[int, TokenRates]) -> Rates:
    tiers = tuple(PriceTier(start, each, each) for start, each in ((0, token), *above))
    return replace(flat_rates(carbon_ug_per_kj=100_000), tiers=tiers)


ONE_OF_EACH = TokenRates(1_000, 10_000, 100_000, 1_000_000, 10_000_000, 7_000, 2_000_000, 3_000_000, 5_000_000)


def test_each_class_of_token_has_its_own_rate_and_none_is_charged_twice() -> None:
    usage = a_usage(10, 6, cached_input_tokens=3, cache_write_tokens=2, reasoning_tokens=4)

    amounts = marginal(rates_of(ONE_OF_EACH), usage)

    assert amounts.usd_nanos == 7 + 5 * 1 + 3 * 10 + 2 * 100 + 2 * 1_000 + 4 * 10_000
    assert amounts.energy_mj == 5 + 7 * 2 + 6 * 3  # cached input is not computed, cache writes are
    assert amounts.carbon_ug == 4  # 37 mJ at 100,000 ug/kJ is 3.7
    assert (amounts.tokens, amounts.requests) == (16, 1)


def test_gpt_4o_costs_what_its_list_says() -> None:
    rates = compile_rates(a_profile(API), None, None)

    amounts = rated(rates, a_usage(10_000, 1_000, cached_input_tokens=6_000))

    # 4,000 x $2.50/M + 6,000 x $1.25/M + 1,000 x $10/M
    assert amounts.usd_nanos == 27_500_000


GEMINI = ListPrice(
    (
        ListTier(0, Decimal("1.25"), Decimal(10), Decimal("0.125")),
        ListTier(200_000, Decimal("2.5"), Decimal(15), Decimal("0.25")),
    ),
    "test",
)


@pytest.mark.parametrize(("input_tokens", "usd_nanos"), [(200_000, 260_000_000), (200_001, 515_002_500)])
def test_past_the_cliff_every_token_costs_more(input_tokens: int, usd_nanos: int) -> None:
    profile = a_profile(API, price={"genai_prices": {"provider": "google", "model": "gemini-2.5-pro"}})
    rates = compile_rates(profile, None, None, list_price=GEMINI)

    assert rated(rates, a_usage(input_tokens, 1_000)).usd_nanos == usd_nanos


def test_of_three_tiers_the_highest_one_passed_holds() -> None:
    def flat(picos: int) -> TokenRates:
        return TokenRates(picos, picos, picos, picos, picos, 0, 0, 0, 0)

    rates = rates_of(flat(1_000), (10, flat(2_000)), (20, flat(3_000)))

    assert [rated(rates, a_usage(tokens)).usd_nanos for tokens in (10, 11, 20, 21)] == [10, 22, 40, 63]


def test_unknown_energy_is_unknown_and_so_is_its_carbon() -> None:
    token = replace(ONE_OF_EACH, energy_uncached_input=None, energy_output=None, energy_request=None)

    amounts = rated(rates_of(token), a_usage(5, 5))

    assert (amounts.energy_mj, amounts.carbon_ug) == (None, None)


def test_a_price_of_zero_stays_zero_and_is_known() -> None:
    nothing = TokenRates(0, 0, 0, 0, 0, 0, 0, 0, 0)

    assert rated(rates_of(nothing), a_usage(10**9, 10**9)) == Amounts(0, 0, 0, 2 * 10**9, 1)


def test_a_hold_is_rounded_up_and_a_charge_to_the_even_side() -> None:
    half_a_nano = replace(ONE_OF_EACH, usd_request=0, usd_uncached_input=500)

    assert rated(rates_of(half_a_nano), a_usage(5)).usd_nanos == 2  # 2.5
    assert rated(rates_of(half_a_nano), a_usage(5), up=True).usd_nanos == 3
    assert rated(rates_of(half_a_nano), a_usage(4), up=True).usd_nanos == 2


def test_a_backend_that_reports_more_cached_than_sent_is_never_credited() -> None:
    usage = a_usage(10, 1, cached_input_tokens=50, cache_write_tokens=50, reasoning_tokens=9)

    amounts = rated(rates_of(ONE_OF_EACH), usage)

    assert amounts.usd_nanos == 7 + 10 * 10 + 1 * 10_000
    assert amounts.energy_mj == 5 + 3


def test_a_million_tiny_charges_do_not_drift() -> None:
    rates = rates_of(TokenRates(2_500, 0, 0, 0, 0, 0, 0, 0, 0))  # $0.0025 per million: half a nano at every odd count
    cycle = sum(rated(rates, a_usage(tokens)).usd_nanos for tokens in range(1, 1_001))

    assert cycle * 1_000 == 1_000 * 2_500 * sum(range(1, 1_001)) // 1_000  # a thousand cycles: the halves cancel


_RATE = st.integers(0, 10**9)
_RATES = st.builds(TokenRates, _RATE, _RATE, _RATE, _RATE, _RATE, _RATE, _RATE, _RATE, _RATE)


@st.composite
def _usages(draw: st.DrawFn) -> TokenUsage:
    inputs, outputs = draw(st.integers(0, 10**7)), draw(st.integers(0, 10**6))
    cached = draw(st.integers(0, inputs))
    return a_usage(
        inputs,
        outputs,
        cached_input_tokens=cached,
        cache_write_tokens=draw(st.integers(0, inputs - cached)),
        reasoning_tokens=draw(st.integers(0, outputs)),
    )


def _plus(a: TokenUsage, b: TokenUsage) -> TokenUsage:
    return a_usage(
        a.input_tokens + b.input_tokens,
        a.output_tokens + b.output_tokens,
        cached_input_tokens=a.cached_input_tokens + b.cached_input_tokens,
        cache_write_tokens=a.cache_write_tokens + b.cache_write_tokens,
        reasoning_tokens=a.reasoning_tokens + b.reasoning_tokens,
    )


@given(_RATES, _usages(), _usages())
def test_more_tokens_never_cost_less(token: TokenRates, some: TokenUsage, more: TokenUsage) -> None:
    fewer, both = rated(rates_of(token), some), rated(rates_of(token), _plus(some, more))

    assert both.usd_nanos >= fewer.usd_nanos
    assert (both.energy_mj or 0) >= (fewer.energy_mj or 0)
    assert (both.carbon_ug or 0) >= (fewer.carbon_ug or 0)


@given(_RATES, _usages(), _usages())
def test_parts_cost_what_the_whole_does_but_for_rounding(token: TokenRates, a: TokenUsage, b: TokenUsage) -> None:
    rates = rates_of(replace(token, usd_request=0, energy_request=0))

    parts = rated(rates, a) + rated(rates, b)
    whole = rated(rates, _plus(a, b))

    assert abs(parts.usd_nanos - whole.usd_nanos) <= 1
    assert abs((parts.energy_mj or 0) - (whole.energy_mj or 0)) <= 1
    assert parts.tokens == whole.tokens


@given(_RATES, _usages())
def test_a_charge_is_within_half_a_nano_and_a_hold_covers_it(token: TokenRates, usage: TokenUsage) -> None:
    rates = rates_of(token)
    uncached = usage.input_tokens - usage.cached_input_tokens - usage.cache_write_tokens
    picos = (
        token.usd_request
        + uncached * token.usd_uncached_input
        + usage.cached_input_tokens * token.usd_cached_input
        + usage.cache_write_tokens * token.usd_cache_write
        + (usage.output_tokens - usage.reasoning_tokens) * token.usd_output
        + usage.reasoning_tokens * token.usd_reasoning
    )

    charged = rated(rates, usage).usd_nanos

    assert abs(charged * 1_000 - picos) <= 500
    assert 0 <= rated(rates, usage, up=True).usd_nanos * 1_000 - picos < 1_000
    assert rated(rates, usage, up=True).usd_nanos >= charged


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_rated_is_never_below_marginal_on_owned_hardware(inputs: int, outputs: int) -> None:
    rates = compile_rates(a_profile(), a_site("1.2", "0.10"), None)

    assert rated(rates, a_usage(inputs, outputs)).usd_nanos >= marginal(rates, a_usage(inputs, outputs)).usd_nanos

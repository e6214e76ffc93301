"""What headers say, in exact decimals."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.amounts import Amounts, Unit
from gateway.domain.budgets import Balance, Counter, WindowSpan
from gateway.domain.tenancy import Identity
from gateway.pipeline.headers import bill_of, cost_headers, decimal_text, duration_text, limit_headers
from gateway.pipeline.refusing import amount_text
from tests.pipeline.fakes import a_member, usd_per_token


@pytest.mark.parametrize(
    ("nanos", "text"),
    [(0, "0"), (1, "0.000000001"), (1_500_000, "0.0015"), (10**9, "1"), (12_000_000_010, "12.00000001")],
)
def test_dollars_are_written_exactly_and_without_exponent(nanos: int, text: str) -> None:
    assert decimal_text(nanos, 10**9) == text


@given(st.integers(0, 2**63), st.sampled_from([1, 1_000, 10**6, 10**9]))
def test_no_digit_is_lost(value: int, per_unit: int) -> None:
    assert Decimal(decimal_text(value, per_unit)) * per_unit == value


@pytest.mark.parametrize(
    ("ms", "text"), [(250, "250ms"), (1_000, "1s"), (360_000, "6m0s"), (3_600_000, "1h0m0s"), (-5, "0ms")]
)
def test_a_reset_is_written_as_openai_writes_it(ms: int, text: str) -> None:
    assert duration_text(ms) == text


def test_what_is_unknown_has_no_header() -> None:
    member = a_member("closed", rates=usd_per_token(10, energy_mj=None))
    bill = bill_of(Identity("k", "t"), member, Amounts(120, None, None, 12, 1), None)

    names = [name for name, _ in cost_headers(bill)]

    assert "x-joulegate-cost-usd" in names
    assert not {"x-joulegate-energy-joules", "x-joulegate-energy-tier", "x-joulegate-carbon-grams"} & set(names)


def test_zero_is_said_and_is_not_unknown() -> None:
    bill = bill_of(Identity("k", "t"), a_member("free", 0), Amounts(0, 0, 0, 12, 1), None)

    assert ("x-joulegate-cost-usd", "0") in cost_headers(bill)
    assert ("x-joulegate-energy-joules", "0") in cost_headers(bill)


def test_a_key_sees_only_what_it_may() -> None:
    blind = Identity("k", "t", expose=frozenset())

    assert cost_headers(bill_of(blind, a_member("cheap"), Amounts(120, 12, 1, 12, 1), 500)) == []
    assert limit_headers(blind, [a_rate_balance(limit=10, spent=3)], 0) == []


def test_the_tightest_limit_is_the_one_that_is_told() -> None:
    balances = [a_rate_balance(limit=100, spent=10), a_rate_balance(limit=20, spent=3, held=2)]

    headers = dict(limit_headers(Identity("k", "t"), balances, now_ms=30_000))

    assert headers == {
        "x-ratelimit-limit-requests": "20",
        "x-ratelimit-remaining-requests": "15",
        "x-ratelimit-reset-requests": "30s",
    }


@pytest.mark.parametrize(
    ("unit", "value", "text"),
    [
        (Unit.USD_NANOS, 250_000_000, "$0.25"),
        (Unit.ENERGY_MJ, 45_000_000, "12.5 Wh"),
        (Unit.ENERGY_MJ, 1_200_000, "0.333333 Wh"),
        (Unit.CARBON_UG, 1_500_000, "1.5 g CO2e"),
        (Unit.CONCURRENT, 3, "3 requests at once"),
        (Unit.ENERGY_MJ, None, "an unknown amount"),
    ],
)
def test_a_refusal_names_amounts_as_people_write_them(unit: Unit, value: int | None, text: str) -> None:
    assert amount_text(unit, value) == text


def a_rate_balance(*, limit: int, spent: int, held: int = 0) -> Balance:
    window = WindowSpan("minute:x", 0, 60_000)
    counter = Counter("limit:l", window, ((Unit.REQUESTS, limit),), "l", "rate", report=True)
    return Balance(counter, {Unit.REQUESTS: spent}, {Unit.REQUESTS: held})

from decimal import Decimal

import pytest

from gateway.domain.amounts import Unit
from gateway.policy.money import exact, units


@pytest.mark.parametrize(
    ("word", "amount", "expected"),
    [
        ("limit_usd", "250.00", (Unit.USD_NANOS, 250_000_000_000)),
        ("limit_usd", "0.000000001", (Unit.USD_NANOS, 1)),
        ("limit_wh", "5000", (Unit.ENERGY_MJ, 18_000_000_000)),
        ("limit_joules", "0.5", (Unit.ENERGY_MJ, 500)),
        ("limit_grams", "1.25", (Unit.CARBON_UG, 1_250_000)),
        ("limit_tokens", "20000000", (Unit.TOKENS, 20_000_000)),
        ("requests_per_minute", "600", (Unit.REQUESTS, 600)),
        ("concurrent", "0", (Unit.CONCURRENT, 0)),
        ("limit_usd", "9007199.254740991", (Unit.USD_NANOS, 2**53 - 1)),
    ],
)
def test_limits_become_whole_units(word: str, amount: str, expected: tuple[Unit, int]) -> None:
    assert units(word, Decimal(amount)) == expected


@pytest.mark.parametrize(
    ("word", "amount", "told"),
    [
        ("limit_usd", "9007199.254740992", "larger than one counter holds exactly"),
        ("limit_usd", "0.0000000001", "finer than can be counted"),
        ("limit_tokens", "1.5", "finer than can be counted; the smallest step is 1"),
        ("limit_usd", "-1", "below zero"),
    ],
)
def test_what_can_not_be_counted_exactly_is_refused(word: str, amount: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        units(word, Decimal(amount))


@pytest.mark.parametrize("value", [True, None, "much", "inf", "nan", [1]])
def test_what_is_no_amount_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="amount"):
        exact(value)


def test_amounts_may_be_text_or_numbers() -> None:
    assert exact("2.50") == exact(Decimal("2.5"))
    assert exact(3) == Decimal(3)

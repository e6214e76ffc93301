"""Halves go to the even side, on both sides of zero."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.metering.rounding import half_even, nearest


@pytest.mark.parametrize(
    ("numerator", "expected"), [(4, 0), (5, 0), (6, 1), (14, 1), (15, 2), (25, 2), (26, 3), (-5, 0), (-15, -2)]
)
def test_tenths_round_to_the_nearest_and_halves_to_the_even_one(numerator: int, expected: int) -> None:
    assert half_even(numerator, 10) == expected


@given(st.integers(-(10**30), 10**30), st.integers(1, 10**18))
def test_it_is_what_decimal_calls_half_even(numerator: int, denominator: int) -> None:
    with localcontext() as context:
        context.prec = 120
        expected = (Decimal(numerator) / Decimal(denominator)).quantize(Decimal(1), rounding=ROUND_HALF_EVEN)

    assert half_even(numerator, denominator) == int(expected)
    assert nearest(Fraction(numerator, denominator)) == int(expected)

"""Integer division that favours nobody. Half-even: over many requests the halves cancel instead of adding up."""

from __future__ import annotations

from fractions import Fraction


def half_even(numerator: int, denominator: int) -> int:
    """`numerator / denominator` to the nearest integer, ties to the even one."""
    quotient = numerator // denominator
    twice = 2 * (numerator - quotient * denominator)
    if twice > denominator or (twice == denominator and quotient & 1):
        return quotient + 1
    return quotient


def nearest(value: Fraction) -> int:
    """A fraction as an integer, ties to the even one; for compile time."""
    return half_even(value.numerator, value.denominator)

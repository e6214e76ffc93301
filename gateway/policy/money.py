"""Limits as people write them, to the integers a counter holds. Exact or refused; no float on the way."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation

from gateway.domain.amounts import MJ_PER_JOULE, MJ_PER_WH, NANOS_PER_USD, UG_PER_GRAM, Unit

LIMIT_MAX = 2**53 - 1  # Redis compares in doubles, exact up to here: about $9.0 million in nano-dollars

# What may be written, the unit it is counted in, and how many of those units one of it is.
LIMITS: Mapping[str, tuple[Unit, int]] = {
    "limit_usd": (Unit.USD_NANOS, NANOS_PER_USD),
    "limit_wh": (Unit.ENERGY_MJ, MJ_PER_WH),
    "limit_joules": (Unit.ENERGY_MJ, MJ_PER_JOULE),
    "limit_grams": (Unit.CARBON_UG, UG_PER_GRAM),
    "limit_tokens": (Unit.TOKENS, 1),
    "limit_requests": (Unit.REQUESTS, 1),
    "requests_per_minute": (Unit.REQUESTS, 1),
    "tokens_per_minute": (Unit.TOKENS, 1),
    "concurrent": (Unit.CONCURRENT, 1),
}


def exact(value: object) -> Decimal:
    """An amount written as text or as a number. Raises ValueError."""
    if isinstance(value, Decimal):
        return value
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError('should be an amount such as "250.00"')
    try:
        amount = Decimal(value)
    except InvalidOperation:
        raise ValueError(f"'{value}' is not an amount; write it like \"250.00\"") from None
    if not amount.is_finite():
        raise ValueError(f"'{value}' is not an amount; write it like \"250.00\"")
    return amount


def units(word: str, amount: Decimal) -> tuple[Unit, int]:
    """The limit in the unit its counter holds. Raises ValueError for one that is negative, too fine or too large."""
    unit, per = LIMITS[word]
    scaled = amount * per
    if amount < 0:
        raise ValueError(f"{amount} is below zero")
    if scaled != scaled.to_integral_value():
        raise ValueError(f"{amount} is finer than can be counted; the smallest step is {Decimal(1) / per}")
    if scaled > LIMIT_MAX:
        raise ValueError(
            f"{amount} is larger than one counter holds exactly ({Decimal(LIMIT_MAX) / per:.0f}); "
            "choose a shorter window or split the scope"
        )
    return unit, int(scaled)

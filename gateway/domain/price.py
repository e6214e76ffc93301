"""A list price: what an API says it charges, exactly as it says it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class ListTier:
    """Dollars per million tokens, and per request, once a request's input passes `above_input_tokens`.

    Cliff semantics: past the threshold every token of the request, output included, is charged at this tier.
    `None`: the list has no price of its own for that class, so it is charged as what it is a part of
    (cached input and cache writes as input, reasoning as output); never as nothing. Output may only be left out for a
    model that has none.
    """

    above_input_tokens: int
    input: Decimal
    output: Decimal | None
    cached_input: Decimal | None = None
    cache_write: Decimal | None = None
    reasoning: Decimal | None = None
    request: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class ListPrice:
    """Tiers in ascending order, the first from 0; and where they were read, for the record."""

    tiers: tuple[ListTier, ...]
    source: str

"""List prices of hosted models, offline, from the data that ships with the genai-prices package (MIT).

The package is imported at the first look-up only: its tables take 80 MiB and half a second, which a gateway without
such profiles need not pay. It knows more than we charge: searches, audio, images, batch and priority variants.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, time
from decimal import Decimal
from difflib import get_close_matches
from importlib.metadata import version
from typing import TYPE_CHECKING

from gateway.domain.price import ListPrice, ListTier

if TYPE_CHECKING:
    from genai_prices.data_snapshot import DataSnapshot
    from genai_prices.types import ModelInfo, ModelPrice, TieredPrices

PER_THOUSAND = 1_000


def list_price(provider: str, model: str, on: date) -> ListPrice | None:
    """Rates and tiers of a model on a day, None if it is not listed or not priced by tokens (`why_unpriced` says).

    Where the price changes by the hour, the dearest hour of the day: a budget may be left over, never overspent.
    """
    found = _find(provider, model)
    if found is None:
        return None
    prices = [found.get_prices(datetime.combine(on, time(hour), tzinfo=UTC)) for hour in range(24)]
    lists = [tiers for price in prices if (tiers := _tiers(price)) is not None]
    if not lists:
        return None
    return ListPrice(max(lists, key=_dearness), f"genai-prices {version('genai-prices')}: {provider}/{found.id}, {on}")


def why_unpriced(provider: str, model: str) -> str:
    """A sentence for the loader: what is not known, and what is near it."""
    snapshot = _snapshot()
    providers = {known.id: known for known in snapshot.providers}
    if provider not in providers:
        return f"genai-prices knows no provider '{provider}'{_nearest(provider, providers)}"
    if _find(provider, model) is None:
        models = [known.id for known in providers[provider].models]
        return f"genai-prices lists no model '{model}' at {provider}{_nearest(model, models)}"
    return f"genai-prices has no price per token for {provider}/{model}; write price.list_price instead"


def _nearest(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean '{near[0]}'?" if near else ""


def _snapshot() -> DataSnapshot:
    from genai_prices.data_snapshot import get_snapshot

    return get_snapshot()


def _find(provider: str, model: str) -> ModelInfo | None:
    try:
        return _snapshot().find_provider_model(model, None, provider, None)[1]
    except LookupError:
        return None


def _tiers(price: ModelPrice) -> tuple[ListTier, ...] | None:
    """One tier per threshold that any of its rates has; None without a price of input tokens."""
    if price.input_mtok is None:
        return None
    rates = (price.input_mtok, price.output_mtok, price.cache_read_mtok, price.cache_write_mtok)
    starts = {0, *(tier.start for rate in rates for tier in getattr(rate, "tiers", ()))}
    return tuple(_tier(price, start) for start in sorted(starts))


def _tier(price: ModelPrice, start: int) -> ListTier:
    return ListTier(
        above_input_tokens=start,
        input=_at(price.input_mtok, start) or Decimal(0),
        output=_at(price.output_mtok, start),
        cached_input=_at(price.cache_read_mtok, start),
        cache_write=_at(price.cache_write_mtok, start),
        reasoning=_at(price.output_reasoning_mtok, start),
        request=(_at(price.requests_kcount, start) or Decimal(0)) / PER_THOUSAND,
    )


def _at(rate: Decimal | TieredPrices | None, start: int) -> Decimal | None:
    """The rate that holds just above `start` input tokens."""
    if rate is None or isinstance(rate, Decimal):
        return rate
    holding = [tier.price for tier in rate.tiers if tier.start <= start and tier.start > 0]
    return holding[-1] if holding else rate.base


def _dearness(tiers: tuple[ListTier, ...]) -> Decimal:
    return tiers[0].input + (tiers[0].output or Decimal(0))

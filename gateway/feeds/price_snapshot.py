"""Takes the snapshot of list prices that ships: `python -m gateway.feeds.price_snapshot > policies/prices/list.json`.

For maintainers: reads the installed genai-prices package (MIT), keeps prices per token and per request with their
dates, hours and thresholds, and drops what we do not charge (searches, audio, images, batch and priority variants).
One line per model, so that the difference of two snapshots reads as a list of price changes.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genai_prices.types import ConditionalPrice, MatchLogic, ModelInfo, ModelPrice, Provider, TieredPrices

SCHEMA = "joulegate.prices/1"
PER_THOUSAND = 1_000
_CLAUSES = ("equals", "starts_with", "ends_with", "contains", "regex")

Json = dict[str, Any]


def taken(on: date) -> str:
    """The snapshot's text."""
    from genai_prices.data_snapshot import get_snapshot

    providers = [_provider(provider) for provider in get_snapshot().providers]
    head = {
        "schema": SCHEMA,
        "source": f"genai-prices {version('genai-prices')}",
        "licence": "MIT",
        "taken": on.isoformat(),
        "sha256": digest(providers),
    }
    return "\n".join(_lines(head, providers)) + "\n"


def digest(providers: Sequence[Json]) -> str:
    """The hash that names a list, however its file is laid out."""
    return hashlib.sha256(json.dumps(providers, sort_keys=True).encode()).hexdigest()


def _lines(head: Json, providers: Sequence[Json]) -> Iterator[str]:
    yield json.dumps(head)[:-1] + ', "providers": ['
    for number, provider in enumerate(providers):
        yield ("," if number else "") + json.dumps({**provider, "models": None}).removesuffix("null}") + "["
        for index, model in enumerate(provider["models"]):
            yield ("," if index else "") + json.dumps(model)
        yield "]}"
    yield "]}"


def _provider(provider: Provider) -> Json:
    return {
        "id": provider.id,
        "fallback": provider.fallback_model_providers or [],
        "models": [_model(model) for model in provider.models],
    }


def _model(model: ModelInfo) -> Json:
    prices = model.prices if isinstance(model.prices, list) else [model.prices]
    return {"id": model.id, "match": _match(model.match), "prices": [_price(price) for price in prices]}


def _match(clause: MatchLogic) -> Json:
    for kind in _CLAUSES:
        if hasattr(clause, kind):
            return {kind: getattr(clause, kind)}
    for kind in ("or", "and"):
        if hasattr(clause, f"{kind}_"):
            return {kind: [_match(inner) for inner in getattr(clause, f"{kind}_")]}
    raise ValueError(f"genai-prices has a new kind of clause: {clause!r}")


def _price(price: ModelPrice | ConditionalPrice) -> Json:
    from genai_prices.types import ConditionalPrice, StartDateConstraint, TimeOfDateConstraint

    if not isinstance(price, ConditionalPrice):
        return {"tiers": _tiers(price)}
    condition: Json = {}
    match price.constraint:
        case StartDateConstraint(start_date=start):
            condition = {"from": start.isoformat()}
        case TimeOfDateConstraint(start_time=start, end_time=end):
            condition = {"hours": [start.isoformat(), end.isoformat()]}
    return {**condition, "tiers": _tiers(price.prices)}


def _tiers(price: ModelPrice) -> list[list[int | str | None]] | None:
    """[above, input, output, cached input, cache write, reasoning, request] per threshold; None: not by tokens."""
    if price.input_mtok is None:
        return None
    rates = (
        price.input_mtok,
        price.output_mtok,
        price.cache_read_mtok,
        price.cache_write_mtok,
        price.output_reasoning_mtok,
    )
    starts = {0, *(tier.start for rate in rates for tier in getattr(rate, "tiers", ()))}
    request = (_at(price.requests_kcount, 0) or Decimal(0)) / PER_THOUSAND
    return [[start, *(_text(_at(rate, start)) for rate in rates), _text(request)] for start in sorted(starts)]


def _at(rate: Decimal | TieredPrices | None, start: int) -> Decimal | None:
    """The rate that holds just above `start` input tokens."""
    if rate is None or isinstance(rate, Decimal):
        return rate
    holding = [tier.price for tier in rate.tiers if tier.start <= start]
    return holding[-1] if holding else rate.base


def _text(usd: Decimal | None) -> str | None:
    return None if usd is None else str(usd)


if __name__ == "__main__":
    sys.stdout.write(taken(datetime.now(UTC).date()))

"""List prices of hosted models, offline: the dated snapshot that ships with us, taken from genai-prices (MIT).

A snapshot rather than the package: its tables take 80 MiB and half a second in every process, this file a few
milliseconds when a configuration is loaded, and nothing after. `price_snapshot` takes a new one; a test compares them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import orjson

from gateway.domain.price import ListPrice, ListTier
from gateway.feeds.packaged import packaged_path

HOURS = tuple(time(hour) for hour in range(24))

Json = Mapping[str, Any]  # one entry of the snapshot, whose fields `price_snapshot` writes


def list_price(provider: str, model: str, on: date) -> ListPrice | None:
    """Rates and tiers of a model on a day; None if it is not listed or not priced by tokens (`why_unpriced` says)."""
    return PriceBook.packaged().price(provider, model, on)


def why_unpriced(provider: str, model: str) -> str:
    """A sentence for the loader: what is not known, and what is near it."""
    return PriceBook.packaged().why_unpriced(provider, model)


@dataclass(frozen=True, slots=True)
class PriceBook:
    """A snapshot. Hold it for many look-ups, drop it when they are done."""

    source: str
    providers: Mapping[str, Json]

    @classmethod
    def packaged(cls) -> PriceBook:
        """The snapshot that ships with us."""
        return cls.read(packaged_path("policies", "prices", "list.json"))

    @classmethod
    def read(cls, path: Path) -> PriceBook:
        """A snapshot from its file."""
        content = orjson.loads(path.read_bytes())
        source = f"{content['source']}, taken {content['taken']}, {content['sha256'][:12]}"
        return cls(source, {provider["id"]: provider for provider in content["providers"]})

    def price(self, provider: str, model: str, on: date) -> ListPrice | None:
        """The price on a day, the last dated one that has begun.

        Where it changes by the hour, the dearest hour of the day: a budget may be left over, never overspent.
        """
        found = self.find(provider, model)
        if found is None:
            return None
        lists = [tiers for hour in HOURS if (tiers := _tiers(_in_force(found["prices"], on, hour)))]
        if not lists:
            return None
        return ListPrice(max(lists, key=_dearness), f"{self.source}: {provider}/{found['id']} on {on}")

    def why_unpriced(self, provider: str, model: str) -> str:
        """Why `price` has none, and the nearest name."""
        if provider not in self.providers:
            return f"the price list knows no provider '{provider}'{_nearest(provider, self.providers)}"
        if self.find(provider, model) is None:
            models = [known["id"] for known in self.providers[provider]["models"]]
            return f"the price list has no model '{model}' at {provider}{_nearest(model, models)}"
        return f"the price list has no price per token for {provider}/{model}; write price.list_price instead"

    def find(self, provider: str, model: str) -> Json | None:
        """The first model that answers to the name, at the provider or at those whose models it also offers."""
        shop = self.providers.get(provider)
        if shop is None:
            return None
        shops = [shop, *(self.providers[other] for other in shop["fallback"] if other in self.providers)]
        name = model.lower()
        return next((known for each in shops for known in each["models"] if _matches(known["match"], name)), None)


def _nearest(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean '{near[0]}'?" if near else ""


def _matches(clause: Json, name: str) -> bool:
    """Whether a lower-case name answers to a clause."""
    ((kind, wanted),) = clause.items()
    match kind:
        case "equals":
            return name == str(wanted).lower()
        case "starts_with":
            return name.startswith(str(wanted).lower())
        case "ends_with":
            return name.endswith(str(wanted).lower())
        case "contains":
            return str(wanted).lower() in name
        case "regex":
            return re.search(str(wanted), name) is not None
        case "or":
            return any(_matches(inner, name) for inner in wanted)
        case "and":
            return all(_matches(inner, name) for inner in wanted)
        case _:
            raise ValueError(f"the price list has a clause we can not read: {kind}")


def _in_force(prices: Sequence[Json], on: date, at: time) -> Json:
    """The last price whose condition holds, else the first."""
    return next((price for price in reversed(prices) if _holds(price, on, at)), prices[0])


def _holds(price: Json, on: date, at: time) -> bool:
    if "from" in price:
        return on >= date.fromisoformat(price["from"])
    if "hours" in price:
        start, end = (time.fromisoformat(edge).replace(tzinfo=None) for edge in price["hours"])  # UTC throughout
        return start <= at < end if start <= end else at >= start or at < end
    return True


def _tiers(price: Json) -> tuple[ListTier, ...]:
    return tuple(_tier(*line) for line in price["tiers"] or ())


def _tier(above: int, *usd: str | None) -> ListTier:
    """One line: input, output, cached input, cache write, reasoning, request."""
    listed, output, cached, written, reasoning, request = (None if text is None else Decimal(text) for text in usd)
    return ListTier(above, listed or Decimal(0), output, cached, written, reasoning, request or Decimal(0))


def _dearness(tiers: tuple[ListTier, ...]) -> Decimal:
    return tiers[0].input + (tiers[0].output or Decimal(0))

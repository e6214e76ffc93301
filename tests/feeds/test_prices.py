"""The list prices that ship: worked cases through our own arithmetic, and agreement with the package they come from."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from random import Random

import genai_prices
import orjson
import pytest
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelInfo, Provider, TimeOfDateConstraint

from gateway.domain.price import ListTier
from gateway.domain.usage import Basis, TokenUsage
from gateway.feeds.packaged import packaged_path
from gateway.feeds.price_snapshot import digest, taken
from gateway.feeds.prices import PriceBook, list_price, why_unpriced
from gateway.metering.pricing import compile_rates, rated
from gateway.metering.profiles import Profile

NOVEMBER = date(2026, 11, 23)
BOOK = PriceBook.packaged()


def an_api(provider: str, model: str) -> Profile:
    return Profile.model_validate(
        {
            "schema": "joulegate.profile/1",
            "id": "x",
            "kind": "api",
            "model": {"name": model},
            "capabilities": ["embedding"] if "embedding" in model else ["chat"],
            "price": {"genai_prices": {"provider": provider, "model": model}},
            "provenance": {"tier": "E"},
        }
    )


def usd_nanos(provider: str, model: str, usage: TokenUsage, on: date = NOVEMBER) -> int:
    rates = compile_rates(an_api(provider, model), None, None, list_price=BOOK.price(provider, model, on))
    return rated(rates, usage).usd_nanos


def a_usage(inputs: int, outputs: int, cached: int = 0, written: int = 0) -> TokenUsage:
    return TokenUsage(inputs, cached, written, outputs, 0, Basis.PROVIDER)


@pytest.mark.parametrize(
    ("provider", "model", "usage", "expected"),
    [
        ("openai", "gpt-4o", a_usage(10_000, 1_000, 6_000), 27_500_000),  # $0.0275
        ("google", "gemini-2.5-pro", a_usage(200_000, 1_000), 260_000_000),  # $0.260, and past the cliff:
        ("google", "gemini-2.5-pro", a_usage(200_001, 1_000), 515_002_500),  # $0.5150025
        ("openai", "gpt-4o-mini", a_usage(1_000_000, 1_000_000), 750_000_000),  # $0.15 and $0.60
        ("openai", "text-embedding-3-small", a_usage(1_000_000, 0), 20_000_000),  # $0.02
        ("perplexity", "sonar", a_usage(0, 0), 12_000_000),  # $12 per thousand requests
    ],
)
def test_a_request_costs_what_the_list_of_november_says(
    provider: str, model: str, usage: TokenUsage, expected: int
) -> None:
    assert usd_nanos(provider, model, usage) == expected


def test_a_price_changes_on_its_day() -> None:
    before = list_price("deepseek", "deepseek-v4-pro", date(2026, 8, 16))
    after = list_price("deepseek", "deepseek-v4-flash", date(2026, 8, 18))

    assert before is not None
    assert after is not None
    assert "2026-08-16" in before.source


def test_where_the_price_changes_by_the_hour_the_dearest_hour_holds() -> None:
    price = list_price("deepseek", "deepseek-chat", NOVEMBER)

    assert price is not None
    assert price.tiers == (ListTier(0, Decimal("0.27"), Decimal("1.1"), Decimal("0.07")),)


def test_a_model_that_another_provider_makes_is_found_at_the_one_that_sells_it() -> None:
    price = list_price("azure", "gpt-4o", NOVEMBER)

    assert price is not None
    assert price.tiers[0].input == Decimal("2.5")


@pytest.mark.parametrize(
    ("provider", "model", "sentence"),
    [
        ("opena", "gpt-4o", "the price list knows no provider 'opena'; did you mean 'openai'?"),
        ("openai", "gpt-4oo", "the price list has no model 'gpt-4oo' at openai; did you mean 'gpt-4o'?"),
        ("mistral", "mistral-ocr-4-1", "the price list has no price per token for mistral/mistral-ocr-4-1; write"),
    ],
)
def test_what_is_not_listed_has_no_price_and_a_sentence(provider: str, model: str, sentence: str) -> None:
    assert list_price(provider, model, NOVEMBER) is None
    assert why_unpriced(provider, model).startswith(sentence)


def test_the_source_names_the_list_its_date_and_its_hash() -> None:
    content = orjson.loads(packaged_path("policies", "prices", "list.json").read_bytes())
    price = list_price("openai", "gpt-4o", NOVEMBER)

    assert digest(content["providers"]) == content["sha256"]
    assert price is not None
    assert price.source == (
        f"{content['source']}, taken {content['taken']}, {content['sha256'][:12]}: openai/gpt-4o on 2026-11-23"
    )


def test_the_snapshot_is_that_of_the_installed_package() -> None:
    shipped = packaged_path("policies", "prices", "list.json").read_text(encoding="utf-8")

    fresh = taken(date.fromisoformat(orjson.loads(shipped)["taken"]))

    assert fresh == shipped, "python -m gateway.feeds.price_snapshot > policies/prices/list.json"


def _priced_by_tokens(shop: Provider, model: ModelInfo, on: date) -> bool:
    """Found under its own id, with input and output prices that hold all day."""
    conditions = [price.constraint for price in model.prices] if isinstance(model.prices, list) else []
    price = model.get_prices(_noon(on))
    return (
        shop.find_model(model.id) is model
        and price.input_mtok is not None
        and price.output_mtok is not None
        and not any(isinstance(condition, TimeOfDateConstraint) for condition in conditions)
    )


def _noon(on: date) -> datetime:
    return datetime.combine(on, time(12), tzinfo=UTC)


def _pairs(count: int) -> Iterator[tuple[Provider, ModelInfo, TokenUsage, date]]:
    random = Random(20261123)
    listed = [(shop, model) for shop in get_snapshot().providers for model in shop.models]
    while count:
        shop, model = random.choice(listed)
        on = NOVEMBER - timedelta(days=random.choice([0, 0, 90, 500]))
        if not _priced_by_tokens(shop, model, on):
            continue
        inputs = random.choice([0, 1, 999, 128_000, 200_000, 200_001, 272_001, 1_000_000])
        cached = random.randint(0, inputs)
        written = random.randint(0, inputs - cached)
        yield shop, model, a_usage(inputs, random.choice([0, 1, 777, 32_000]), cached, written), on
        count -= 1


def _theirs(shop: Provider, model: ModelInfo, usage: TokenUsage, on: date) -> Decimal:
    said = genai_prices.Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cached_input_tokens,
        cache_write_tokens=usage.cache_write_tokens,
    )
    return model.calc_price(said, shop, genai_request_timestamp=_noon(on)).total_price


def test_our_arithmetic_agrees_with_the_packages_on_hundreds_of_models_and_usages() -> None:
    for shop, model, usage, on in _pairs(600):
        ours = usd_nanos(shop.id, model.id, usage, on)

        rounded = Decimal(1) + Decimal(usage.total_tokens) / 2_000  # a nano, and half a pico of a rate like $0.0416667
        assert abs(Decimal(ours) - _theirs(shop, model, usage, on) * 10**9) <= rounded, (shop.id, model.id, usage, on)


def test_every_listed_name_finds_the_entry_the_package_finds() -> None:
    snapshot = get_snapshot()
    for shop in snapshot.providers:
        for model in shop.models:
            theirs = shop.find_model(model.id, all_providers=snapshot.providers)
            ours = BOOK.find(shop.id, model.id)
            assert (ours and ours["id"]) == (theirs and theirs.id), (shop.id, model.id)

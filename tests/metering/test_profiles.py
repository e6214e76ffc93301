"""A profile that could not be served from is refused with a sentence that says what to do."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from gateway.domain.faults import BadDocument
from gateway.metering.profiles import Profile, named_as, read_profile
from tests.metering.making import API, a_profile

SWIFT = """\
schema: joulegate.profile/1
id: demo/swift
kind: api
model: {name: swift}
price:
  list_price: {input: "2", output: 8, source: test, retrieved: 2026-11-23}
provenance: {tier: E}
"""

_SLOPE = {"boundary": "it", "idle_w": 0, "active_w": 1, "output_slope_j_per_token": "0.1"}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"power__idle_w": 1671}, "idle_w (1671) is above active_w (1670)"),
        ({"power__idle_w": None}, "idle_w and active_w come as a pair"),
        ({"power__idle_w": None, "power__active_w": None}, "needs power.idle_w and power.active_w"),
        ({"power__boundary": "provisioned"}, "provisioned power is for planning"),
        ({"power__host_factor": None}, "a gpu boundary needs host_factor"),
        ({"power__boundary": "it"}, "host_factor has no meaning at the it boundary"),
        ({"power__output_slope_j_per_token": "0.1"}, "needs either output_slope_j_per_token or the pair"),
        ({"power__decode_j_per_token": None}, "come as a pair; an explicit 0 is allowed"),
        ({"power__curve": [[5, 1], [5, 2]]}, "curve must ascend"),
        ({"power__pue": "1.2"}, "pue: belongs to the site in joulegate.yaml, not to a profile"),
        ({"zone": "FR", "tariff": 1}, "tariff, zone: belongs to the site"),
        ({"power": None}, "a self_hosted profile needs power"),
        ({"hardware": None, "capacity": None}, "a self_hosted profile needs hardware"),
        ({"reference_load": {"input_tok_s": 5}}, "reference_load needs output_tok_s"),
        ({"capabilities": ["embedding"]}, "reference_load needs input_tok_s"),
        ({"price": API["price"]}, "price is for kind api"),
        ({"capabilities": ["chat", "poetry"]}, "unknown capability poetry"),
        ({"provenance": {"tier": "C"}}, "tier C needs source and retrieved; without a source a profile is tier E"),
        ({"assumed": ["power.idle_w", "power.idle_watts"]}, "assumed names 'power.idle_watts', which this profile"),
        ({"assumed": ["power.idle_w", "power.idle_w"]}, "names a field twice"),
        ({"capabilities": ["chat", "embedding"], "power": {**_SLOPE}}, "an embedding has no output for a slope"),
        ({"power__active_w": "1e999999"}, "less than or equal to 1000000000000"),
        ({"power__active_w": "1000.0000000000000000001"}, "no more than 18 decimal places"),
        ({"id": "../etc/passwd"}, "should match pattern"),
        ({"power__active_w": "-1"}, "greater than or equal to 0"),
        ({"uncertainty": {"energy_factor90": "0.5"}}, "greater than or equal to 1"),
    ],
)
def test_an_own_deployment_that_does_not_add_up_is_refused(changes: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValidationError) as caught:
        a_profile(**changes)

    assert sentence in str(caught.value)


_READ = {"source": "test", "retrieved": "2026-11-23"}
_FLOOR = {"boundary": "facility", "prefill_j_per_token": 0, "decode_j_per_token": 1, "idle_w": 0, "active_w": 1}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"price": None}, "an api profile needs price"),
        ({"price": {"discount": "0.1"}}, "needs either list_price (written here) or genai_prices"),
        ({"price__discount": "1"}, "less than 1"),
        ({"price": {"list_price": {"input": 1, **_READ}}}, "price.list_price needs output"),
        ({"capacity": {"usd_per_gpu_hour": 1, **_READ}}, "capacity is for self_hosted"),
        ({"embodied": {"kg_per_gpu": 1, "lifetime_s": 1, "source": "t"}}, "embodied is for self_hosted"),
        ({"power": _FLOOR}, "an API's floor is shared with its other customers"),
    ],
)
def test_a_hosted_model_that_does_not_add_up_is_refused(changes: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValidationError) as caught:
        a_profile(API, **changes)

    assert sentence in str(caught.value)


def test_tiers_of_a_price_must_ascend() -> None:
    tier = {"above_input_tokens": 10, "input": 1, "output": 1}
    price = {"input": 1, "output": 1, "source": "t", "retrieved": "2026-11-23", "tiers": [tier, tier]}

    with pytest.raises(ValidationError, match="tiers must ascend"):
        a_profile(API, price={"list_price": price})


def test_several_faults_are_told_with_their_lines() -> None:
    text = SWIFT.replace("model: {name: swift}", "model: {nam: swift}").replace("kind: api", "kind: ap")

    with pytest.raises(BadDocument) as caught:
        read_profile(text, file="swift.yaml")

    assert str(caught.value).splitlines() == [
        "swift.yaml:3: kind: should be 'self_hosted' or 'api'",
        "swift.yaml:4: model.nam: unknown key; did you mean 'name'?",
        "swift.yaml:4: model.name: is required",
    ]


def test_an_id_is_the_one_its_place_promises() -> None:
    profile = read_profile(SWIFT, file="swift.yaml")

    assert named_as(profile, "demo/swift", file="swift.yaml") is profile
    with pytest.raises(BadDocument, match="a file at this place holds 'demo/quick'"):
        named_as(profile, "demo/quick", file="quick.yaml")


def test_the_version_is_of_the_content_not_of_the_layout() -> None:
    profile = read_profile(SWIFT, file="a")
    same = read_profile("# a comment\n" + SWIFT.replace('"2"', "'2'"), file="b")
    other = read_profile(SWIFT.replace('"2"', '"3"'), file="c")

    assert profile.version == same.version
    assert len(profile.version) == 12
    assert profile.version != other.version


def test_the_factor_of_uncertainty_comes_from_the_tier_unless_it_is_given() -> None:
    assert str(a_profile().energy_factor90) == "5"
    assert str(a_profile(uncertainty={"energy_factor90": "1.7"}).energy_factor90) == "1.7"


def test_the_speed_is_what_the_estimator_starts_from() -> None:
    latency = a_profile(performance={"ttft_base_ms": 60, "tpot_base_ms": "4.5"}).latency

    assert (latency.ttft_base_ms, latency.tpot_base_ms) == (60.0, 4.5)


def test_editors_get_a_schema_with_every_section() -> None:
    properties = Profile.model_json_schema()["properties"]

    assert {"schema", "id", "kind", "power", "price", "provenance", "assumed"} <= properties.keys()

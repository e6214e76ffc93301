"""The strict reader: every fault with its line and a remedy, several at once, and the environment in scalars only."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, RootModel, model_validator

from gateway.domain.documents import FAULTS_TOLD_MAX, Section, load, read
from gateway.domain.faults import BadDocument


class Listen(Section):
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    weight: Decimal = Decimal(0)
    ratio: float = 0.5


class Near(Section):
    kind: Literal["near"]
    metres: int = 1


class Far(Section):
    kind: Literal["far"]
    miles: int = 1


class Names(RootModel[dict[str, Listen]]):
    pass


class House(Section):
    listen: Listen = Listen()
    doors: list[Listen] = []
    rooms: dict[str, Listen] = {}
    attic: Listen | None = None
    place: Annotated[Near | Far, Field(discriminator="kind")] | None = None
    names: Names | None = None
    schema_: str = Field("", alias="schema")


class Strict(Section):
    low: int
    high: int

    @model_validator(mode="after")
    def _ordered(self) -> Strict:
        if self.low > self.high:
            raise ValueError("low is above high")
        return self


def faults(text: str, model: type[Section] = House, env: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(BadDocument) as caught:
        load(text, file="x.yaml", model=model, env=env)
    return str(caught.value).splitlines()


def test_decimals_are_read_exactly_and_floats_take_them() -> None:
    house = load("listen: {weight: 0.1, ratio: 0.25}", file="x.yaml", model=House)

    assert house.listen.weight == Decimal("0.1")
    assert house.listen.ratio == 0.25


def test_an_empty_document_is_a_mapping_without_keys() -> None:
    assert load("# nothing yet\n", file="x.yaml", model=House) == House()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("listen:\n  prot: 1", "x.yaml:2: listen.prot: unknown key; did you mean 'port'?"),
        ("doors:\n- {}\n- prot: 1", "x.yaml:3: doors[1].prot: unknown key; did you mean 'port'?"),
        ("rooms:\n  hall:\n    hosst: x", "x.yaml:3: rooms.hall.hosst: unknown key; did you mean 'host'?"),
        ("attic: {wieght: 1}", "x.yaml:1: attic.wieght: unknown key; did you mean 'weight'?"),
        ("names: {a: {prot: 1}}", "x.yaml:1: names.a.prot: unknown key; did you mean 'port'?"),
        ("scheme: x", "x.yaml:1: scheme: unknown key; did you mean 'schema'?"),
        ("place:\n  kind: near\n  metre: 2", "x.yaml:3: place.metre: unknown key; did you mean 'metres'?"),
        (
            "listen: {zzz: 1}",
            "x.yaml:1: listen.zzz: unknown key; known here: host, port, weight, ratio",
        ),
        ("listen: 3", "x.yaml:1: listen: should be a mapping"),
        ("listen: {host: 12}", "x.yaml:1: listen.host: should be text; put quotes around it"),
        ("- a", "x.yaml:1: should be a mapping"),
    ],
)
def test_a_wrong_key_is_told_with_its_line_and_the_nearest_known_one(text: str, said: str) -> None:
    assert faults(text) == [said]


def test_all_faults_are_told_at_once_in_the_order_of_the_file() -> None:
    said = faults("listen:\n  prot: 1\n  port: 99999\ndoors: 4\n")

    assert [line.split(" ")[0] for line in said] == ["x.yaml:2:", "x.yaml:3:", "x.yaml:4:"]


def test_a_flood_of_faults_is_cut_short() -> None:
    said = faults("\n".join(f"k{n}: 1" for n in range(FAULTS_TOLD_MAX + 5)))

    assert len(said) == FAULTS_TOLD_MAX + 1
    assert said[-1] == "x.yaml: and 5 more"


def test_a_missing_key_is_told_at_the_line_of_its_mapping() -> None:
    assert faults("low: 3\n", Strict) == ["x.yaml:1: high: is required"]


def test_a_validators_sentence_comes_through() -> None:
    assert faults("low: 3\nhigh: 2", Strict) == ["x.yaml:1: low is above high"]


def test_a_reference_reads_the_environment_in_whole_or_in_part() -> None:
    env = {"PORT": "81", "NAME": "a"}

    house = load('listen: {port: "${PORT}", host: "x-${NAME}.$${NAME}"}', file="x.yaml", model=House, env=env)

    assert house.listen.port == 81
    assert house.listen.host == "x-a.${NAME}"


def test_a_value_of_the_environment_can_not_change_the_documents_shape() -> None:
    env = {"EVIL": "x, port: 1}\nschema: y"}

    house = load('listen: {host: "${EVIL}"}', file="x.yaml", model=House, env=env)

    assert house.listen.host == env["EVIL"]
    assert house.listen.port == 8080


def test_what_the_environment_lacks_is_told_all_at_once() -> None:
    assert faults('schema: "${A}"\nlisten:\n  host: "${B}${1}"', env={}) == [
        "x.yaml:1: schema: the environment variable A is not set",
        "x.yaml:3: listen.host: the environment variable B is not set",
        "x.yaml:3: listen.host: '${' begins a reference like ${NAME}; write '$${' for the characters",
    ]


def test_a_secret_from_the_environment_is_not_repeated_in_a_fault() -> None:
    said = faults('listen: {port: "${SECRET}"}', env={"SECRET": "hunter2"})

    assert "hunter2" not in said[0]


def test_without_an_environment_a_reference_is_text() -> None:
    assert load('schema: "${A}"', file="x.yaml", model=House).schema_ == "${A}"


def test_a_source_can_place_a_fault_found_later() -> None:
    source = read("doors:\n- {}\n- {host: x}\n", file="x.yaml")

    assert source.fault(("doors", 1, "host"), "is taken") == "x.yaml:3: doors[1].host: is taken"
    assert source.fault(("doors", 1, "gone"), "is missing") == "x.yaml:3: doors[1].gone: is missing"


@given(st.text(max_size=120))
def test_any_text_is_a_house_or_a_bad_document(text: str) -> None:
    try:
        load(text, file="x.yaml", model=House, env={})
    except BadDocument as bad:
        assert str(bad).startswith("x.yaml:")


_KEYS = st.sampled_from(["listen", "doors", "rooms", "place", "names", "attic", "port", "kind", "oops"])
_VALUES = st.recursive(
    st.sampled_from(["near", "x", "1", "0.5", "null", "true", "''"]),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda parts: f"[{', '.join(parts)}]")
        | st.dictionaries(_KEYS, inner, max_size=3).map(
            lambda parts: "{" + ", ".join(f"{key}: {value}" for key, value in parts.items()) + "}"
        )
    ),
    max_leaves=10,
)


@given(st.dictionaries(_KEYS, _VALUES, max_size=5))
def test_any_shape_is_a_house_or_has_a_line_for_every_fault(parts: dict[str, str]) -> None:
    text = "\n".join(f"{key}: {value}" for key, value in parts.items())
    try:
        load(text, file="x.yaml", model=House)
    except BadDocument as bad:
        assert all(line.startswith("x.yaml:") for line in str(bad).splitlines())

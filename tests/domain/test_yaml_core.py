"""YAML 1.2 core scalars and bounds: what text becomes, and what is refused."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain import yaml_core
from gateway.domain.faults import BadDocument
from gateway.domain.yaml_core import DEPTH_MAX, DOCUMENT_BYTES_MAX, parse_yaml


def tree(text: str) -> yaml_core.Tree:
    return parse_yaml(text, file="x.yaml").tree


def fault(text: str) -> str:
    with pytest.raises(BadDocument) as caught:
        parse_yaml(text, file="x.yaml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("NO", "NO"),
        ("yes", "yes"),
        ("on", "on"),
        ("1:30", "1:30"),
        ("2026-11-23", "2026-11-23"),
        ("0b11", "0b11"),
        ("1_000", "1_000"),
        ("010", 10),
        ("0o17", 15),
        ("0xfF", 255),
        ("+7", 7),
        ("-0", 0),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("null", None),
        ("'null'", "null"),
        ('"12"', "12"),
        ("'1e3'", "1e3"),
        ("0.1", Decimal("0.1")),
        ("1e3", Decimal("1e3")),
        (".5", Decimal("0.5")),
        ("0.10000000000000000000000001", Decimal("0.10000000000000000000000001")),
    ],
)
def test_a_scalar_is_what_yaml_1_2_says(text: str, value: object) -> None:
    found = tree(f"key: {text}")

    assert found == {"key": value}
    assert type(found["key"]) is type(value)  # type: ignore[index]


def test_a_duplicate_key_is_refused_and_both_lines_are_named() -> None:
    assert fault("a: 1\nb: 2\na: 3\n") == "x.yaml:3: the key 'a' stands here twice (first on line 1)"


def test_anchors_and_aliases_are_refused_so_no_document_can_swell() -> None:
    assert fault("a: &bomb [x]\nb: *bomb") == (
        "x.yaml:1: the anchor &bomb is not read here; write the value out where it is used"
    )


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("a: !!python/object/apply:os.system [x]", 1, "the tag"),
        ("a: !custom 1", 1, "the tag"),
        ("a: 1\n---\nb: 2", 2, "a second document"),
        ("a: .inf", 1, "not a number we can count with"),
        ("a: .NaN", 1, "not a number we can count with"),
        ("a: 1e999999999", 1, "out of any range we know"),
        ("a: '1e999999999'", 1, "out of any range we know"),
        ("a: 1e-999999999", 1, "out of any range we know"),
        ("a: " + "9" * 5000, 1, "a number longer than"),
        ("? [1, 2]\n: 3", 1, "a key must be text"),
        ('"": 3', 1, "an empty key"),
        ("a: [1\nb: 2", 2, "not YAML"),
        ("a: \x07", 1, "does not allow"),
        ("a: '\ud800'", 1, "surrogate"),
        ("x" * (DOCUMENT_BYTES_MAX + 1), 1, "is larger than"),
        ("[" * (DEPTH_MAX + 1), 1, "nested deeper"),
    ],
)
def test_what_can_not_be_read_is_refused_with_its_line(text: str, line: int, what: str) -> None:
    said = fault(text)

    assert said.startswith(f"x.yaml:{line}: ")
    assert what in said


def test_an_endless_list_stops_at_the_bound_on_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_core, "NODES_MAX", 50)

    assert "more than 50 nodes" in fault("[" + "1," * 100 + "]")


def test_every_path_knows_its_line() -> None:
    lines = parse_yaml("a:\n  - x: 1\n    y: 2\n  - z: 3\n", file="x.yaml").lines

    assert lines[("a",)] == 1
    assert lines[("a", 0, "y")] == 3
    assert lines[("a", 1)] == 4


@given(st.text(alphabet=st.characters(), max_size=200))
def test_any_text_is_read_or_refused_and_never_crashes(text: str) -> None:
    try:
        parse_yaml(text, file="x.yaml")
    except BadDocument as fault:
        assert str(fault).startswith("x.yaml:")


_YAMLISH = st.text(alphabet="ab01 :-[]{},\n\"'#&*!|>?%@`~.\\\t", max_size=80)


@given(_YAMLISH)
def test_text_that_looks_like_yaml_is_read_or_refused_and_never_crashes(text: str) -> None:
    try:
        parse_yaml(text, file="x.yaml")
    except BadDocument as fault:
        assert str(fault).startswith("x.yaml:")


_WORDS = st.text(alphabet=st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=20)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(10**30), 10**30) | _WORDS,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_WORDS, inner, max_size=4),
        max_leaves=12,
    )
)
def test_json_is_yaml_and_comes_back_as_it_went(value: object) -> None:
    assert tree(json.dumps(value, ensure_ascii=False)) == value


def test_the_fast_and_the_plain_parser_agree_on_our_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "a:\n  b: [1, 0.5, 'x']\n  c: |\n    text\n    more\nd: ''\ne:\n"
    fast = parse_yaml(text, file="x")
    monkeypatch.setattr(yaml_core, "_parser", lambda: yaml.SafeLoader)
    plain = parse_yaml(text, file="x")

    assert fast.tree == plain.tree
    assert fast.lines == plain.lines

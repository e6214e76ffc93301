from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.dialects.members import member_span

VALUES = st.recursive(
    st.none() | st.integers() | st.text(alphabet='{}[]",\\aé', max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["usage", "a"]), inner, max_size=2),
    max_leaves=8,
)


def without(data: bytes, name: str) -> bytes:
    span = member_span(data, name)
    return data if span is None else data[: span.cut_start] + data[span.cut_end :]


@pytest.mark.parametrize(
    ("data", "left"),
    [
        (b'{"usage":1}', b"{}"),
        (b'{"usage":1,"a":2}', b'{"a":2}'),
        (b'{"a":2,"usage":1}', b'{"a":2}'),
        (b'{ "a" : 2 , "usage" : {"usage":3} , "b":[] }', b'{ "a" : 2  , "b":[] }'),
        (b'{"a":{"usage":1}}', b'{"a":{"usage":1}}'),
        (b'{"a":"\xc3\xa9","usage":null}', b'{"a":"\xc3\xa9"}'),
        (b'["usage"]', b'["usage"]'),
        (b'{"usage":', b'{"usage":'),
        (b"", b""),
    ],
)
def test_a_member_goes_with_one_comma_and_nothing_else(data, left):
    assert without(data, "usage") == left


def test_of_duplicates_the_last_is_meant_as_parsers_mean_it():
    data = b'{"usage":1,"usage":2}'

    span = member_span(data, "usage")

    assert span is not None
    assert data[span.value_start : span.end] == b"2"


@settings(deadline=None)
@given(
    members=st.dictionaries(st.sampled_from(["a", "b", "é", "choices"]), VALUES),
    value=VALUES,
    place=st.integers(0, 4),
    spaced=st.booleans(),
    ascii_only=st.booleans(),
)
def test_what_is_left_is_the_object_without_its_member(members, value, place, spaced, ascii_only):
    items = list(members.items())
    whole = dict([*items[:place], ("usage", value), *items[place:]])
    data = json.dumps(whole, indent=1 if spaced else None, ensure_ascii=ascii_only).encode()

    span = member_span(data, "usage")

    assert json.loads(without(data, "usage")) == members
    assert span is not None
    assert json.loads(data[span.value_start : span.end]) == value

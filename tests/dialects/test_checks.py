from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.dialects.checks import deeper_than

NESTED = st.recursive(
    st.none() | st.text(alphabet='[]{}"\\a', max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet='[{"\\', max_size=2), inner, max_size=3)
    ),
    max_leaves=15,
)


def depth_of(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth_of, value), default=0)
    return 0


@settings(deadline=None)
@given(value=NESTED, limit=st.integers(1, 6), indent=st.none() | st.integers(0, 2))
def test_depth_is_judged_on_the_bytes_exactly_as_on_the_parsed_value(value, limit, indent):
    assert deeper_than(json.dumps(value, indent=indent).encode(), limit) is (depth_of(value) > limit)


def test_a_megabyte_of_brackets_in_a_string_is_not_deep():
    assert not deeper_than(json.dumps(["[" * 1_000_000]).encode(), 64)


def test_a_megabyte_of_real_brackets_is():
    assert deeper_than(b"[" * 500_000 + b"]" * 500_000, 64)

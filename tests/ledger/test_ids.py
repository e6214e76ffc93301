from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.tenancy import ID_PATTERN
from gateway.ledger.ids import new_id, time_of


@given(st.integers(0, 2**47), st.binary(min_size=8, max_size=26))
def test_an_id_carries_its_time_and_fits_the_pattern(now_ms: int, entropy: bytes) -> None:
    request_id = new_id(now_ms, entropy)

    assert time_of(request_id) == now_ms
    assert ID_PATTERN.match(request_id)


def test_ids_sort_by_time() -> None:
    assert new_id(999, b"\xff" * 10) < new_id(1_000, b"\0" * 10)


@pytest.mark.parametrize("size", [0, 7, 27])
def test_too_little_or_too_much_entropy_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="entropy"):
        new_id(1, b"x" * size)


@pytest.mark.parametrize("made_up", ["", "zzz", "my-request", "a:b", "0" * 65, "0123456789ab\n"])
def test_an_id_that_was_not_made_here_is_refused(made_up: str) -> None:
    with pytest.raises(ValueError):
        time_of(made_up)

"""What was counted is remembered, within a bound, and never mistaken for another text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.feeds.remembered import Remembered


def test_a_text_learned_is_known_and_another_is_not() -> None:
    remembered = Remembered(100)
    remembered.learn(["hello"], [7])

    assert remembered.split(["hello", "goodbye", "hello"]) == (14, ["goodbye"], 7)


def test_texts_of_one_hash_are_told_apart_by_their_length() -> None:
    remembered = Remembered(100, hash_of=lambda text: 1)
    remembered.learn(["hello"], [7])

    assert remembered.split(["hello"])[0] == 7
    assert remembered.split(["good morning"]) == (0, ["good morning"], 12)


def test_a_count_of_millions_is_kept_whole() -> None:
    remembered = Remembered(100)
    remembered.learn(["x" * 5_000_000, ""], [4_999_999, 0])

    assert remembered.split(["x" * 5_000_000, ""]) == (4_999_999, [], 0)


def test_what_is_asked_for_stays_while_others_come_and_go() -> None:
    remembered = Remembered(20)
    remembered.learn(["kept"], [1])

    for number in range(1_000):
        assert remembered.split(["kept"])[0] == 1
        remembered.learn([f"passing {number}"], [2])

    assert remembered.split(["passing 0"])[0] == 0


@given(st.lists(st.text(max_size=20), max_size=100), st.integers(2, 30))
def test_the_number_of_texts_is_bounded_and_no_answer_is_wrong(texts: list[str], bound: int) -> None:
    remembered = Remembered(bound)

    for text in texts:
        known, fresh, _ = remembered.split([text])
        assert known == (0 if fresh else 3 * len(text))
        remembered.learn(fresh, [3 * len(text) for text in fresh])

    assert len(remembered) <= bound

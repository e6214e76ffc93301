"""What was counted is remembered: exactly, and within a bound."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.feeds.remembered import KEPT_WHOLE_MAX, Remembered


def test_a_text_learned_is_known_and_another_is_not() -> None:
    remembered = Remembered(100_000)
    remembered.learn(["hello"], [7])

    assert remembered.split(["hello", "goodbye", "hello"]) == (14, ["goodbye"], 7)


def test_long_texts_are_known_by_digest_and_cost_no_more_than_an_entry() -> None:
    remembered = Remembered(100_000)
    remembered.learn(["x" * 1_000_000], [9])

    assert remembered.split(["x" * 1_000_000, "x" * 999_999 + "y"])[0] == 9
    assert remembered.bytes_held < 1_000


def test_what_is_asked_for_stays_while_others_come_and_go() -> None:
    remembered = Remembered(20_000)
    remembered.learn(["kept"], [1])

    for number in range(1_000):
        assert remembered.split(["kept"])[0] == 1
        remembered.learn([f"passing {number}"], [2])

    assert remembered.split(["passing 0"])[0] == 0


@given(st.lists(st.text(max_size=2 * KEPT_WHOLE_MAX), max_size=60))
def test_memory_is_bounded_and_no_answer_is_wrong(texts: list[str]) -> None:
    bound = 50_000
    remembered = Remembered(bound)

    for text in texts:
        known, fresh, _ = remembered.split([text])
        assert known == (0 if fresh else len(text))
        if fresh:
            remembered.learn(fresh, [len(text)])

    assert remembered.bytes_held <= bound + 2 * (KEPT_WHOLE_MAX * 4 + 200)

"""How long answers are, learned as they end."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.metering.lengths import GROWTH, Lengths, OutputLengths


def test_before_any_answer_the_prior_is_expected_within_the_bound() -> None:
    lengths = OutputLengths(expected_prior=256)

    assert lengths.expected("m", "k", 4_096) == 256
    assert lengths.expected("m", "k", 100) == 100


def test_before_enough_answers_a_quantile_is_the_bound() -> None:
    lengths = OutputLengths()
    for _ in range(10):
        lengths.learn("m", "k", 50)

    assert lengths.quantile("m", "k", 0.95, 4_096) == 4_096


def test_a_key_is_expected_to_answer_as_it_did() -> None:
    lengths = OutputLengths()
    for _ in range(400):
        lengths.learn("m", "short", 40)
        lengths.learn("m", "long", 1_000)

    assert lengths.expected("m", "short", 10_000) == pytest.approx(83, abs=10)  # 10 parts of 40, one of the model's 520
    assert lengths.expected("m", "long", 10_000) == pytest.approx(957, abs=25)


def test_a_new_key_is_expected_to_answer_as_its_model_does() -> None:
    lengths = OutputLengths()
    for _ in range(400):
        lengths.learn("m", "k", 700)

    assert lengths.expected("m", "new", 10_000) == pytest.approx(700, rel=0.1)
    assert lengths.quantile("m", "new", 0.95, 10_000) == pytest.approx(700, rel=GROWTH - 1)
    assert lengths.expected("another", "new", 10_000) == 256


@pytest.mark.parametrize("q", [0.5, 0.9, 0.95])
def test_a_quantile_covers_its_share_of_answers_and_hardly_more(q: float) -> None:
    draw = random.Random(7)
    answers = [round(draw.lognormvariate(5, 0.8)) for _ in range(3_000)]
    lengths = OutputLengths()
    for tokens in answers:
        lengths.learn("m", "k", tokens)

    quantile = lengths.quantile("m", "k", q, 100_000)

    true = sorted(answers)[int(q * len(answers))]
    assert true * 0.75 <= quantile <= true * 1.5  # a bucket is 20 % wide, and about 200 answers are remembered


def test_what_answers_are_like_now_outweighs_what_they_were() -> None:
    lengths = OutputLengths()
    for tokens in [2_000] * 1_000 + [100] * 1_000:
        lengths.learn("m", "k", tokens)

    assert lengths.expected("m", "k", 10_000) < 150
    assert lengths.quantile("m", "k", 0.9, 10_000) < 150


def test_keys_are_bounded_and_the_longest_unused_is_forgotten() -> None:
    lengths = OutputLengths(keys_max=2)
    for _ in range(100):
        lengths.learn("m", "old", 1_000)
    for _ in range(100):
        lengths.learn("m", "a", 10)
        lengths.learn("m", "b", 10)

    assert lengths.expected("m", "old", 10_000) < 400


def test_a_negative_length_is_a_programming_error() -> None:
    with pytest.raises(ValueError, match="negative"):
        OutputLengths().learn("m", "k", -1)


@given(st.lists(st.integers(0, 10**7), min_size=1, max_size=80), st.floats(0, 1), st.integers(1, 10**6))
def test_answers_stay_within_one_and_the_bound(answers: list[int], q: float, bound: int) -> None:
    lengths = OutputLengths()
    for tokens in answers:
        lengths.learn("m", "k", tokens)

    assert 1 <= lengths.expected("m", "k", bound) <= bound
    assert 1 <= lengths.quantile("m", "k", q, bound) <= bound


@given(st.lists(st.integers(1, 100_000), min_size=1, max_size=50))
def test_a_higher_quantile_is_never_lower(answers: list[int]) -> None:
    series = Lengths()
    for tokens in answers:
        series.learn(tokens)

    quantiles = [series.quantile(q / 10) for q in range(11)]
    assert quantiles == sorted(quantiles)
    assert quantiles[-1] >= max(answers)


def test_weights_stay_finite_over_a_million_answers_worth_of_growth() -> None:
    series = Lengths()
    for _ in range(20_000):  # the weight passes the point of rescaling three times
        series.learn(100)

    assert series.mean == pytest.approx(100)
    assert series.answers == pytest.approx(200, rel=0.01)
    assert series.quantile(0.5) == pytest.approx(100, rel=GROWTH - 1)

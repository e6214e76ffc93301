"""What is learned of a tokenizer and a template, from usage alone."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.metering.ratios import Fit, Ratios
from gateway.metering.scripts import Script

OVERHEAD = 11  # what the dialect's rule adds to a two-message call


def teach(ratios: Ratios, script: Script, a: float, b: float, c: float, *, answers: int, seed: int = 1) -> None:
    draw = random.Random(seed)
    for _ in range(answers):
        counted, messages = draw.randrange(20, 4_000), draw.randrange(1, 40)
        noise = draw.gauss(1, 0.02)
        reported = round(a * counted * noise + OVERHEAD + b * messages + c)
        ratios.learn("m", script, counted=counted, overhead=OVERHEAD, messages=messages, reported=reported)


def test_before_any_answer_the_yardstick_and_the_rule_are_the_estimate() -> None:
    assert Ratios().tokens("m", Script.ASCII, counted=1_000, overhead=OVERHEAD, messages=2) == 1_011


@pytest.mark.parametrize(("a", "b", "c"), [(1.15, 2.0, 30.0), (0.85, 1.0, 0.0), (1.56, -1.0, 5.0)])
def test_ratio_and_template_are_learned_within_a_few_per_cent(a: float, b: float, c: float) -> None:
    ratios = Ratios()
    teach(ratios, Script.CYRILLIC, a, b, c, answers=200)

    for counted, messages in ((100, 2), (1_000, 10), (7_800, 40)):
        truth = a * counted + OVERHEAD + b * messages + c
        learned = ratios.tokens("m", Script.CYRILLIC, counted=counted, overhead=OVERHEAD, messages=messages)
        assert learned == pytest.approx(truth, rel=0.04, abs=5)


def test_ten_answers_already_take_most_of_the_error_away() -> None:
    ratios = Ratios()
    teach(ratios, Script.INDIC, 1.5, 1.0, 4.0, answers=10)

    assert ratios.tokens("m", Script.INDIC, counted=1_000, overhead=0, messages=4) == pytest.approx(1_508, rel=0.04)


def test_one_script_does_not_make_another_worse() -> None:
    ratios = Ratios()
    teach(ratios, Script.INDIC, 1.5, 0.0, 0.0, answers=100)
    teach(ratios, Script.ASCII, 1.0, 0.0, 0.0, answers=100)

    assert ratios.tokens("m", Script.ASCII, counted=1_000, overhead=0, messages=1) == pytest.approx(1_000, rel=0.03)
    assert ratios.tokens("m", Script.INDIC, counted=1_000, overhead=0, messages=1) == pytest.approx(1_500, rel=0.03)


def test_a_script_not_seen_yet_borrows_the_template_and_not_the_ratio() -> None:
    ratios = Ratios()
    teach(ratios, Script.INDIC, 1.5, 3.0, 30.0, answers=300)

    assert ratios.tokens("m", Script.ASCII, counted=1_000, overhead=0, messages=10) == pytest.approx(1_060, abs=25)


def test_members_share_nothing() -> None:
    ratios = Ratios()
    teach(ratios, Script.ASCII, 1.5, 0.0, 0.0, answers=50)

    assert ratios.tokens("another", Script.ASCII, counted=100, overhead=0, messages=1) == 100


def test_an_absurd_report_is_left_out_and_an_odd_one_moves_little() -> None:
    ratios = Ratios()
    teach(ratios, Script.ASCII, 1.0, 0.0, 0.0, answers=100)

    for reported in (0, -5, 10**9, 1, 4_000):
        ratios.learn("m", Script.ASCII, counted=1_000, overhead=0, messages=1, reported=reported)

    assert ratios.tokens("m", Script.ASCII, counted=1_000, overhead=0, messages=1) == pytest.approx(1_000, rel=0.03)


def test_a_changed_template_is_followed() -> None:
    ratios = Ratios()
    teach(ratios, Script.ASCII, 1.0, 0.0, 0.0, answers=500)
    teach(ratios, Script.ASCII, 1.0, 0.0, 300.0, answers=300, seed=2)

    assert ratios.tokens("m", Script.ASCII, counted=100, overhead=0, messages=10) == pytest.approx(400, abs=60)


def test_bare_text_takes_the_ratio_without_the_template() -> None:
    ratios = Ratios()
    teach(ratios, Script.CJK, 1.2, 4.0, 100.0, answers=200)

    assert ratios.text_tokens("m", Script.CJK, 1_000) == pytest.approx(1_200, rel=0.03)
    assert ratios.text_tokens("another", Script.CJK, 1_000) == 1_000


def test_what_was_learned_survives_as_json() -> None:
    ratios = Ratios()
    teach(ratios, Script.ASCII, 1.1, 1.0, 9.0, answers=20)

    again = Ratios.restore(json.loads(json.dumps(ratios.export())))

    assert again.export() == ratios.export()
    assert again.tokens("m", Script.ASCII, counted=500, overhead=3, messages=2) == ratios.tokens(
        "m", Script.ASCII, counted=500, overhead=3, messages=2
    )


def test_state_of_another_shape_is_refused_and_an_unknown_class_left_out() -> None:
    with pytest.raises(ValueError, match="13 numbers"):
        Fit.restore([1.0])
    assert Ratios.restore({"m": {"klingon": [1.0]}}).export() == {"m": {}}


@given(st.lists(st.tuples(st.integers(0, 200_000), st.integers(0, 2_000), st.integers(-10, 10**7)), max_size=60))
def test_whatever_is_reported_the_estimate_stays_sane(reports: list[tuple[int, int, int]]) -> None:
    ratios = Ratios()

    for counted, messages, reported in reports:
        ratios.learn("m", Script.ASCII, counted=counted, overhead=0, messages=messages, reported=reported)

    tokens = ratios.tokens("m", Script.ASCII, counted=1_000, overhead=0, messages=1)
    assert 1_000 * 0.2 - 4 - 64 <= tokens <= 1_000 * 5 + 64 + 8_192 + 1

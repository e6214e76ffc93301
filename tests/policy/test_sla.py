import math

import pytest

from gateway.domain.catalog import SlaClass
from gateway.policy.sla import bounds_left, met
from tests.policy.house import a_member, a_quote, an_ask

CHAT = SlaClass("chat", ttft_ms=1_000, tpot_ms=50)
QUOTE = a_quote(a_member("a"))


def test_what_has_passed_since_acceptance_is_gone() -> None:
    bounds = bounds_left(an_ask(QUOTE, sla=CHAT, accepted=10.0), 10.4)

    assert bounds.ttft_ms == pytest.approx(600.0)
    assert bounds.tpot_ms == 50.0
    assert bounds.end_ms(100) == math.inf
    assert not bounds.end_bounded


def test_a_whole_answer_is_bound_by_the_end_of_the_stream_it_might_have_been() -> None:
    bounds = bounds_left(an_ask(QUOTE, sla=CHAT, accepted=10.0, stream=False), 10.4)

    assert bounds.ttft_ms == math.inf
    assert bounds.end_ms(101) == pytest.approx(600.0 + 100 * 50.0)
    assert bounds.end_ms(0) == pytest.approx(600.0)


def test_the_nearer_of_two_deadlines_counts() -> None:
    batch = SlaClass("batch", deadline_ms=60_000)

    assert bounds_left(an_ask(QUOTE, sla=batch), 1.0).deadline_ms == 59_000.0
    assert bounds_left(an_ask(QUOTE, sla=batch, deadline=5.0), 1.0).deadline_ms == 4_000.0


@pytest.mark.parametrize(
    ("sla", "stream", "ttft_ms", "tpot_ms", "e2e_ms", "output_tokens", "expected"),
    [
        (CHAT, True, 1_000.0, 50.0, 9_000.0, 100, True),
        (CHAT, True, 1_000.1, 50.0, 9_000.0, 100, False),
        (CHAT, True, 900.0, 50.1, 9_000.0, 100, False),
        (CHAT, True, 900.0, None, 900.0, 1, True),  # one token has no pace
        (CHAT, True, None, None, 1_500.0, 0, False),  # ended without a word, too late
        (CHAT, False, None, None, 1_000.0 + 99 * 50.0, 100, True),
        (CHAT, False, None, None, 1_000.1 + 99 * 50.0, 100, False),
        (SlaClass("t", ttft_ms=1_000), False, None, None, 9_000.0, 100, None),
        (SlaClass("t", ttft_ms=1_000, e2e_ms=5_000), False, None, None, 9_000.0, 100, False),
        (SlaClass("e", e2e_ms=5_000), False, None, None, 5_000.0, 100, True),
        (SlaClass("b", deadline_ms=5_000), True, 1.0, 1.0, 5_001.0, 100, False),
        (SlaClass("none"), True, 1e9, 1e9, 1e9, 100, True),
    ],
)
def test_whether_a_promise_was_kept(
    sla: SlaClass,
    stream: bool,
    ttft_ms: float | None,
    tpot_ms: float | None,
    e2e_ms: float,
    output_tokens: int,
    expected: bool | None,
) -> None:
    kept = met(sla, stream=stream, ttft_ms=ttft_ms, tpot_ms=tpot_ms, e2e_ms=e2e_ms, output_tokens=output_tokens)

    assert kept is expected

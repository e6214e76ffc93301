import math

import pytest

from gateway.policy.breaker import CLOSED, Breaker, Errors, Event, Phase, Throttle, admits, step

OPEN = Breaker(Phase.OPEN, 0, 1, 12.0)
HALF = Breaker(Phase.HALF_OPEN, 0, 1, 72.0)


@pytest.mark.parametrize(
    ("state", "event", "phase"),
    [
        (CLOSED, Event.SUCCESS, Phase.CLOSED),
        (CLOSED, Event.FAILURE, Phase.CLOSED),
        (CLOSED, Event.CENSORED, Phase.CLOSED),
        (CLOSED, Event.TIMEOUT, Phase.OPEN),
        (Breaker(failures=1), Event.FAILURE, Phase.CLOSED),
        (Breaker(failures=2), Event.FAILURE, Phase.OPEN),
        (OPEN, Event.SUCCESS, Phase.OPEN),
        (OPEN, Event.FAILURE, Phase.OPEN),
        (OPEN, Event.TIMEOUT, Phase.OPEN),
        (OPEN, Event.CENSORED, Phase.OPEN),
        (OPEN, Event.TRIAL, Phase.HALF_OPEN),
        (HALF, Event.SUCCESS, Phase.CLOSED),
        (HALF, Event.FAILURE, Phase.OPEN),
        (HALF, Event.TIMEOUT, Phase.OPEN),
        (HALF, Event.CENSORED, Phase.OPEN),
    ],
)
def test_the_table_of_states_and_events(state: Breaker, event: Event, phase: Phase) -> None:
    assert step(state, event, 10.0, 0.5).phase is phase


def test_three_failures_in_a_row_open_it_and_a_success_between_them_does_not() -> None:
    state = CLOSED
    for event in (Event.FAILURE, Event.FAILURE, Event.SUCCESS, Event.FAILURE, Event.FAILURE):
        state = step(state, event, 0.0, 0.5)
    assert state.phase is Phase.CLOSED

    assert step(state, Event.FAILURE, 0.0, 0.5).phase is Phase.OPEN


def test_each_opening_lasts_twice_as_long_up_to_twelve_seconds() -> None:
    state, waits = CLOSED, []
    for _ in range(5):
        state = step(state, Event.TIMEOUT, 100.0, 0.5)
        waits.append(state.until - 100.0)
        state = step(state, Event.TRIAL, 100.0, 0.5)

    assert waits == [2.0, 4.0, 8.0, 12.0, 12.0]


def test_chance_moves_the_wait_by_a_quarter_each_way() -> None:
    assert step(CLOSED, Event.TIMEOUT, 0.0, 0.0).until == 1.5
    assert step(CLOSED, Event.TIMEOUT, 0.0, 1.0).until == 2.5


def test_it_admits_one_trial_when_the_wait_is_over() -> None:
    assert not admits(OPEN, 11.9)
    assert admits(OPEN, 12.0)
    assert not admits(step(OPEN, Event.TRIAL, 12.0, 0.5), 13.0)


def test_a_trial_whose_client_left_lets_the_next_one_try_at_once() -> None:
    assert admits(step(HALF, Event.CENSORED, 20.0, 0.5), 20.0)


def test_success_forgets_earlier_openings() -> None:
    assert step(HALF, Event.SUCCESS, 20.0, 0.5) == CLOSED


def test_a_429_lowers_the_cap_to_nine_tenths_of_what_was_in_flight() -> None:
    throttle = Throttle()

    throttle.refused(20, 0.0, None, 0.0)

    assert throttle.cap == 18.0
    assert throttle.admits(17, 0.0)
    assert not throttle.admits(18, 0.0)


def test_the_cap_never_falls_below_one() -> None:
    throttle = Throttle()
    for _ in range(50):
        throttle.refused(1, 0.0, 0.0, 0.0)

    assert throttle.cap == 1.0
    assert throttle.admits(0, 0.0)


def test_each_success_gives_one_over_cap_back_until_the_declared_bound() -> None:
    throttle = Throttle()
    throttle.refused(10, 0.0, None, 0.0)

    throttle.served(10)
    assert throttle.cap == 9.0 + 1.0 / 9.0

    for _ in range(20):
        throttle.served(10)
    assert throttle.cap == math.inf


def test_retry_after_is_honoured() -> None:
    throttle = Throttle()

    throttle.refused(5, 100.0, 7.0, 0.0)

    assert not throttle.admits(0, 106.9)
    assert throttle.admits(0, 107.0)


def test_429s_in_a_row_without_retry_after_rest_it_longer_each_time() -> None:
    throttle, rests = Throttle(), []
    for _ in range(4):
        throttle.refused(1, 0.0, None, 0.0)
        rests.append(throttle.until)

    assert rests == [0.0, 0.5, 1.0, 2.0]


def test_a_failure_weighs_fifteen_hundredths_and_a_fast_one_a_third_of_that() -> None:
    slow, fast = Errors(), Errors()

    slow.failed(0.0, fast=False)
    fast.failed(0.0, fast=True)

    assert slow.share(0.0) == pytest.approx(0.15)
    assert fast.share(0.0) == pytest.approx(0.0525)


def test_errors_fade_by_e_in_six_seconds_and_are_forgotten() -> None:
    errors = Errors()
    errors.failed(0.0, fast=False)

    assert errors.share(6.0) == pytest.approx(0.15 / math.e)
    assert errors.share(60.0) == 0.0

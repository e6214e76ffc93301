import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.catalog import Latency
from gateway.policy.estimators import Estimator, Regression, below, tpot_estimator, ttft_estimator

PRIOR = Latency(ttft_base_ms=250.0, ttft_per_1k_input_ms=50.0, tpot_base_ms=20.0, tpot_per_active_ms=0.5)


def taught(estimator: Estimator, weights: tuple[float, ...], *, samples: int = 600, noise: float = 0.1) -> Estimator:
    """Samples of a backend that follows `weights`, at loads that vary."""
    chance = Random(7)
    for turn in range(samples):
        if len(weights) == 4:
            features = (
                1.0,
                chance.uniform(0.05, 4.0),
                chance.choice([0.0, chance.uniform(0, 10)]),
                chance.randrange(20),
            )
        else:
            features = (1.0, chance.uniform(1, 40))
        truth = sum(w * x for w, x in zip(weights, features, strict=True))
        estimator.observe(features, truth * math.exp(chance.gauss(0.0, noise)), 0.1 * turn)
    return estimator


def test_before_any_sample_the_profile_speaks() -> None:
    estimator = ttft_estimator(PRIOR)

    assert estimator.regression.predict((1.0, 2.0, 1.0, 5.0)) == 250.0 + 2 * 50.0 + 50.0
    assert estimator.residual.sd == pytest.approx(0.3)


def test_ttft_converges_on_a_backend_that_is_nothing_like_its_profile() -> None:
    estimator = taught(ttft_estimator(PRIOR), (80.0, 200.0, 150.0, 12.0))

    for features, truth in [((1.0, 1.0, 0.0, 0.0), 280.0), ((1.0, 3.0, 8.0, 10.0), 80.0 + 600.0 + 1200.0 + 120.0)]:
        assert estimator.regression.predict(features) == pytest.approx(truth, rel=0.08)
    assert abs(estimator.residual.mean) < 0.1
    assert estimator.residual.sd == pytest.approx(0.1, abs=0.06)


def test_tpot_converges() -> None:
    estimator = taught(tpot_estimator(PRIOR), (8.0, 1.5))

    assert estimator.regression.predict((1.0, 1.0)) == pytest.approx(9.5, rel=0.1)
    assert estimator.regression.predict((1.0, 30.0)) == pytest.approx(53.0, rel=0.08)


def test_a_load_that_was_never_seen_does_not_run_away_after_ten_thousand_equal_samples() -> None:
    estimator = ttft_estimator(PRIOR)
    for turn in range(10_000):
        estimator.observe((1.0, 0.5, 0.0, 0.0), 275.0, 0.1 * turn)

    estimator.observe((1.0, 0.5, 2.0, 4.0), 500.0, 1_000.1)

    assert estimator.regression.predict((1.0, 0.5, 2.0, 4.0)) < 1_000.0
    assert estimator.regression.predict((1.0, 0.5, 0.0, 0.0)) == pytest.approx(275.0, rel=0.05)


def test_a_slowdown_is_seen_within_three_samples() -> None:
    estimator = taught(ttft_estimator(PRIOR), (100.0, 50.0, 50.0, 0.0), samples=100)
    before = below(300.0, 150.0, estimator.residual.mean, estimator.residual.sd)

    for turn in range(3):
        estimator.observe((1.0, 1.0, 0.0, 0.0), 600.0, 10.0 + turn)

    predicted = estimator.regression.predict((1.0, 1.0, 0.0, 0.0))
    assert before > 0.99
    missed = 1.0 - below(300.0, predicted, estimator.residual.mean, estimator.residual.sd)
    assert missed > 0.4  # at a price of 60 per miss, dearer than a member that costs twenty times as much


def test_an_incident_does_not_bend_the_shape() -> None:
    estimator = taught(ttft_estimator(PRIOR), (100.0, 50.0, 50.0, 0.0), samples=100)
    shape = list(estimator.regression.weights)

    estimator.observe((1.0, 1.0, 0.0, 0.0), 15_000.0, 11.0)

    assert estimator.regression.weights == shape


def test_after_a_gap_one_canary_restores_most_of_the_trust() -> None:
    estimator = taught(ttft_estimator(PRIOR), (100.0, 50.0, 50.0, 0.0), samples=100)
    for turn in range(10):
        estimator.observe((1.0, 1.0, 0.0, 0.0), 1_500.0, 10.0 + turn)
    slow = estimator.residual.mean

    estimator.observe((1.0, 1.0, 0.0, 0.0), 150.0, 30.0, canary=True)

    assert slow > 1.5
    assert estimator.residual.mean < 0.25 * slow


def test_two_agreeing_samples_do_not_make_a_cold_member_certain() -> None:
    estimator = ttft_estimator(PRIOR)
    for turn in range(2):
        estimator.observe((1.0, 0.1, 0.0, 0.0), 255.0, float(turn))

    assert estimator.residual.sd == pytest.approx(0.3)


def test_the_tail_is_that_of_a_normal_distribution_of_the_logarithm() -> None:
    assert below(100.0, 100.0, 0.0, 0.3) == pytest.approx(0.5)
    assert below(100.0 * math.exp(1.645 * 0.3), 100.0, 0.0, 0.3) == pytest.approx(0.95, abs=1e-4)
    assert below(0.0, 100.0, 0.0, 0.3) == 0.0
    assert below(-5.0, 100.0, 0.0, 0.3) == 0.0
    assert below(5e-324, 100.0, 0.0, 0.3) == 0.0  # the ratio underflows: nothing to take a logarithm of
    assert below(10.0, 0.0, 0.0, 0.3) == 1.0


def test_what_was_learned_survives_a_restart() -> None:
    old = taught(ttft_estimator(PRIOR), (80.0, 200.0, 150.0, 12.0))
    new = ttft_estimator(PRIOR)

    new.absorb(old.export(now=70.0), now=5.0)

    assert new.regression.weights == old.regression.weights
    assert new.residual.mean == old.residual.mean
    assert new.last_at == pytest.approx(5.0 - (70.0 - 59.9))


def test_a_restart_does_not_overwrite_what_has_seen_more() -> None:
    seasoned = taught(ttft_estimator(PRIOR), (80.0, 200.0, 150.0, 12.0), samples=50)
    weights = list(seasoned.regression.weights)

    seasoned.absorb(ttft_estimator(PRIOR).export(now=0.0), now=0.0)

    assert seasoned.regression.weights == weights


@given(
    st.lists(
        st.tuples(st.floats(0, 100), st.floats(0, 100), st.floats(0, 300), st.floats(0.0, 1e6), st.floats(0.0, 1e3)),
        max_size=40,
    )
)
def test_no_sample_makes_a_weight_negative_or_a_figure_unreal(samples: list[tuple[float, ...]]) -> None:
    estimator, now = ttft_estimator(PRIOR), 0.0
    for inputs, queued, flight, actual_ms, gap_s in samples:
        now += gap_s
        estimator.observe((1.0, inputs, queued, flight), actual_ms, now)

    assert all(weight >= 0.0 and math.isfinite(weight) for weight in estimator.regression.weights)
    assert math.isfinite(estimator.residual.mean)
    assert 0.05 <= estimator.residual.sd < 10.0


def test_regression_matches_plain_least_squares_when_nothing_is_forgotten_yet() -> None:
    """Three noiseless samples determine two weights; a wide prior hardly pulls."""
    regression = Regression((0.0, 0.0), (1e6, 1e6))
    for x in (1.0, 2.0, 5.0):
        regression.learn((1.0, x), 3.0 + 2.0 * x)

    assert regression.weights == pytest.approx([3.0, 2.0], rel=1e-3)

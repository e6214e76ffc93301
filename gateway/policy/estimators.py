"""How long a member will take, given its load: a small online regression and a log-normal tail around it.

Per member there are two: time to first token from (1, input, queued input, in flight) and time per output token from
(1, active sequences). Pure arithmetic on what it is told; times are seconds, durations milliseconds, tokens in
thousands. The constants are those of the tested prototype; what each is for stands beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from operator import mul
from typing import TypedDict

from gateway.domain.catalog import Latency

FORGETTING = 0.995  # recursive least squares: a memory of about 200 samples
RESIDUAL_MEMORY_S = 12.0
WEIGHT_MIN = 0.04
WEIGHT_MAX = 0.85  # after a silent gap one sample must be believed, or recovery takes several canaries
PEAK_WEIGHT_MIN = 0.25  # slow news travels fast: at least this much when a sample is e times what we believed
PEAK = 1.0
SHAPE_RESIDUAL_MAX = 1.2  # once warm, a sample off by more than e^1.2 is an incident and must not bend the shape
SHAPE_EVERY_S = 0.005  # the shape changes slowly, and a step costs 15 us: 200 a second of them are enough
WARM_SAMPLES = 10
VARIANCE_PRIOR = 0.09
VARIANCE_MIN = 0.0025
RESIDUAL_MAX = 4.0
LEAST_MS = 0.01
P99 = 2.326
SURE = 4.5
_SQRT_HALF = math.sqrt(0.5)


class EstimatorState(TypedDict):
    """What is kept over a restart. age_s: since the last sample, None if there was none."""

    weights: list[float]
    mean: float
    variance: float
    samples: int
    age_s: float | None


def below(bound_ms: float, predicted_ms: float, mean: float, sd: float) -> float:
    """Probability that a log-normal time around `predicted_ms * e^mean` stays within the bound."""
    if bound_ms <= 0.0:
        return 0.0
    if predicted_ms <= 0.0 or bound_ms == math.inf:
        return 1.0
    ratio = bound_ms / predicted_ms
    if ratio == 0.0:
        return 0.0  # a bound so small that the ratio underflows has no logarithm
    return 0.5 * math.erfc((mean - math.log(ratio)) / sd * _SQRT_HALF)


class Regression:
    """Recursive least squares with forgetting; weights never below zero, since load never makes anything faster.

    A direction that is not exercised does not lose certainty past where it started (otherwise its covariance
    grows without bound and the first sample under load throws the weight anywhere).
    """

    __slots__ = ("_covariance", "_start", "weights")

    def __init__(self, weights: Sequence[float], spreads: Sequence[float]) -> None:
        size = len(weights)
        self.weights = list(weights)
        self._start = [spread * spread / VARIANCE_PRIOR for spread in spreads]
        self._covariance = [[self._start[i] if i == j else 0.0 for j in range(size)] for i in range(size)]

    def predict(self, features: Sequence[float]) -> float:
        """Weights times features."""
        return float(sum(map(mul, self.weights, features)))

    def learn(self, features: Sequence[float], target: float) -> None:
        """Move the weights towards a sample, in O(size^2)."""
        covariance = self._covariance
        pull = [sum(map(mul, row, features)) for row in covariance]
        scale = 1.0 / (FORGETTING + sum(map(mul, pull, features)))
        error = (target - sum(map(mul, self.weights, features))) * scale
        self.weights = [max(0.0, weight + gain * error) for weight, gain in zip(self.weights, pull, strict=True)]
        grow = [1.0 / math.sqrt(FORGETTING) if covariance[i][i] < start else 1.0 for i, start in enumerate(self._start)]
        self._covariance = [
            [(cell - pull[i] * scale * pull[j]) * grow[i] * grow[j] for j, cell in enumerate(row)]
            for i, row in enumerate(covariance)
        ]


@dataclass(slots=True)
class Residual:
    """Decayed mean and variance of ln(actual / predicted).

    Kept for the hot path: sd, factor (e^mean), and sure (e^(mean + 4.5 sd)): a bound above `predicted * sure` is missed
    three times in a million, which nobody needs a logarithm for.
    """

    mean: float = 0.0
    variance: float = VARIANCE_PRIOR
    sd: float = math.sqrt(VARIANCE_PRIOR)
    factor: float = 1.0
    sure: float = math.exp(SURE * math.sqrt(VARIANCE_PRIOR))

    @classmethod
    def known(cls, mean: float, variance: float) -> Residual:
        """One that was learned elsewhere."""
        residual = cls(mean, max(VARIANCE_MIN, variance))
        residual._derive()
        return residual

    def _derive(self) -> None:
        self.sd = math.sqrt(self.variance)
        self.factor = math.exp(self.mean)
        self.sure = math.exp(self.mean + SURE * self.sd)

    def learn(self, error: float, gap_s: float, *, canary: bool, warm: bool) -> None:
        """Weigh by the time since the last sample; a canary's word replaces what was believed of an old incident.

        A few samples agreeing with each other do not make a cold member certain: its spread stays as wide as the prior.
        """
        if not -RESIDUAL_MAX <= error <= RESIDUAL_MAX:
            error = math.copysign(RESIDUAL_MAX, error)
        surprise = error - self.mean
        weight = WEIGHT_MAX if canary else 1.0 - math.exp(-gap_s / RESIDUAL_MEMORY_S)
        if weight < WEIGHT_MIN:
            weight = WEIGHT_MIN
        elif weight > WEIGHT_MAX:
            weight = WEIGHT_MAX
        if surprise > PEAK and weight < PEAK_WEIGHT_MIN:
            weight = PEAK_WEIGHT_MIN
        spread = VARIANCE_PRIOR if canary else (1.0 - weight) * surprise * surprise
        if not warm and spread < VARIANCE_PRIOR:
            spread = VARIANCE_PRIOR
        self.mean += weight * surprise
        variance = (1.0 - weight) * self.variance + weight * spread
        self.variance = variance if variance > VARIANCE_MIN else VARIANCE_MIN
        self._derive()


class Estimator:
    """One duration of one member. `weights` are read by the router's hot path, features in their order."""

    __slots__ = ("_shaped_at", "last_at", "regression", "residual", "samples")

    def __init__(self, weights: Sequence[float], spreads: Sequence[float]) -> None:
        self._shaped_at = -math.inf
        self.regression = Regression(weights, spreads)
        self.residual = Residual()
        self.samples = 0
        self.last_at = -math.inf

    def p99_ms(self, predicted_ms: float) -> float:
        """The 99th percentile around a prediction."""
        return predicted_ms * math.exp(self.residual.mean + P99 * self.residual.sd)

    def predict_ms(self, features: Sequence[float]) -> float:
        """What the shape says of these features, never nothing: ratios are taken of it."""
        predicted_ms = self.regression.predict(features)
        return predicted_ms if predicted_ms > LEAST_MS else LEAST_MS

    def observe(
        self,
        features: Sequence[float],
        actual_ms: float,
        now: float,
        *,
        canary: bool = False,
        predicted_ms: float | None = None,
    ) -> None:
        """Learn from one sample. Targets are relative, so that a long prompt does not outweigh many short ones.

        predicted_ms: what `predict_ms` says of the features, where the caller has asked it already.
        """
        if actual_ms < LEAST_MS:
            actual_ms = LEAST_MS
        if predicted_ms is None:
            predicted_ms = self.predict_ms(features)
        error = math.log(actual_ms / predicted_ms)
        warm = self.samples >= WARM_SAMPLES
        if not warm or (abs(error) <= SHAPE_RESIDUAL_MAX and now - self._shaped_at >= SHAPE_EVERY_S):
            self._shaped_at = now
            self.regression.learn([feature / predicted_ms for feature in features], actual_ms / predicted_ms)
        if not warm:  # what the shape has just taken up is not an error as well
            error = math.log(actual_ms / self.predict_ms(features))
        self.residual.learn(error, now - self.last_at, canary=canary, warm=warm)
        self.samples += 1
        self.last_at = now

    def export(self, now: float) -> EstimatorState:
        """What is worth keeping, as plain values."""
        return {
            "weights": list(self.regression.weights),
            "mean": self.residual.mean,
            "variance": self.residual.variance,
            "samples": self.samples,
            "age_s": now - self.last_at if self.samples else None,
        }

    def absorb(self, state: EstimatorState, now: float) -> None:
        """Take over another's knowledge if it rests on more samples than ours, and has our shape."""
        if state["samples"] <= self.samples or len(state["weights"]) != len(self.regression.weights):
            return
        self.regression.weights = [max(0.0, weight) for weight in state["weights"]]
        self.residual = Residual.known(state["mean"], state["variance"])
        self.samples = state["samples"]
        self.last_at = -math.inf if state["age_s"] is None else now - state["age_s"]


def ttft_estimator(prior: Latency) -> Estimator:
    """Features: 1, input, queued input (thousands of tokens), requests in flight. A queue costs what a prompt does."""
    base, per_1k = prior.ttft_base_ms, prior.ttft_per_1k_input_ms
    unsure = max(0.1 * base, 1.0)
    return Estimator((base, per_1k, per_1k, 0.0), (max(base, 1.0), max(per_1k, unsure), max(per_1k, unsure), unsure))


def tpot_estimator(prior: Latency) -> Estimator:
    """Features: 1, active sequences (decoding, half of those waiting, and this one)."""
    base, per_active = prior.tpot_base_ms, prior.tpot_per_active_ms
    return Estimator((base, per_active), (max(base, 0.1), max(per_active, 0.02 * base, 0.01)))

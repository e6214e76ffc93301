"""How a model's own tokenizer and chat template relate to o200k_base, learned from the usage each answer reports.

tokens = a * counted + overhead + b * messages + c, one fit per member and script class. `overhead` is what the
OpenAI rule adds, so that the prior is a = 1, b = c = 0. Each fit is a Kalman filter over (a, b, c) whose innovation is
clipped: one absurd report moves it little, a changed template moves it within some tens of answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, sqrt

from gateway.metering.scripts import Script

PRIOR = (1.0, 0.0, 0.0)
PRIOR_VARIANCE = (0.3**2, 3.0**2, 20.0**2)
# What may drift per answer: it sets the memory at about a hundred answers.
DRIFT = (0.002**2, 0.05**2, 1.0**2)
LOWEST = (0.2, -4.0, -64.0)
HIGHEST = (5.0, 64.0, 8_192.0)  # c may be a system prompt that the template adds
NOISE_SHARE = 0.03  # texts of one class differ by this much of their count
NOISE_TOKENS = 2.0
CLIP_SIGMAS = 3.0
SANE = 20  # a report beyond this factor of the prediction (plus 1000 tokens) is not a measurement of this text
MEMBERS_MAX = 4_096

FitState = list[float]
State = dict[str, dict[str, FitState]]


class Fit:
    """(a, b, c) of one member and script class. Mutable; bounded in size and in value."""

    __slots__ = ("answers", "covariance", "mean")

    def __init__(self, mean: Sequence[float] = PRIOR):
        self.mean = list(mean)
        self.covariance = [[PRIOR_VARIANCE[i] if i == j else 0.0 for j in range(3)] for i in range(3)]
        self.answers = 0

    def predict(self, counted: int, messages: int) -> float:
        """Tokens beside the overhead."""
        a, b, c = self.mean
        return a * counted + b * messages + c

    def learn(self, counted: int, messages: int, tokens: int) -> None:
        """One answer reported `tokens` (overhead already taken off)."""
        x = (float(counted), float(messages), 1.0)
        p = self.covariance
        for i in range(3):
            p[i][i] = min(p[i][i] + DRIFT[i], PRIOR_VARIANCE[i])
        px = [p[i][0] * x[0] + p[i][1] * x[1] + p[i][2] * x[2] for i in range(3)]
        variance = x[0] * px[0] + x[1] * px[1] + x[2] * px[2] + (NOISE_SHARE * counted) ** 2 + NOISE_TOKENS**2
        reach = CLIP_SIGMAS * sqrt(variance)
        step = max(-reach, min(reach, tokens - self.predict(counted, messages))) / variance
        for i in range(3):
            self.mean[i] = max(LOWEST[i], min(HIGHEST[i], self.mean[i] + px[i] * step))
        for i in range(3):
            for j in range(3):
                p[i][j] -= px[i] * px[j] / variance
        self.answers += 1

    def export(self) -> FitState:
        """Plain values: mean, then the rows of the covariance, then how many answers taught it."""
        return [*self.mean, *(value for row in self.covariance for value in row), float(self.answers)]

    @classmethod
    def restore(cls, state: FitState) -> Fit:
        """From `export`."""
        if len(state) != 13:
            raise ValueError(f"a fit has 13 numbers, not {len(state)}")
        fit = cls(state[:3])
        fit.covariance = [list(state[3 + 3 * row : 6 + 3 * row]) for row in range(3)]
        fit.answers = int(state[12])
        return fit


class Ratios:
    """Fits per member and script class. Pure: what it knows comes from `learn` or from an exported state."""

    def __init__(self) -> None:
        self._fits: dict[str, dict[Script, Fit]] = {}

    def tokens(self, member: str, script: Script, *, counted: int, overhead: int, messages: int) -> int:
        """Prompt tokens to expect there: never fewer than one for each message."""
        fit = self._fit(member, script)
        predicted = counted if fit is None else fit.predict(counted, messages)
        return max(messages, ceil(predicted + overhead))

    def text_tokens(self, member: str, script: Script, counted: int) -> int:
        """Tokens of bare text, without template: an answer that came without usage."""
        fit = self._fit(member, script)
        return counted if fit is None else ceil(fit.mean[0] * counted)

    def learn(self, member: str, script: Script, *, counted: int, overhead: int, messages: int, reported: int) -> None:
        """What the backend says this prompt took. A report that cannot be of this text is left out."""
        likely = self.tokens(member, script, counted=counted, overhead=overhead, messages=messages)
        if not 0 < reported <= SANE * likely + 1_000 or reported * SANE < likely:
            return
        fits = self._fits.setdefault(member, {}) if len(self._fits) < MEMBERS_MAX else self._fits.get(member)
        if fits is None:
            return
        if script not in fits:
            fits[script] = Fit(self._template(fits))
        fits[script].learn(counted, messages, reported - overhead)

    def export(self) -> State:
        """All that is known, as plain values (JSON) that `restore` takes back."""
        return {
            member: {script.value: fit.export() for script, fit in fits.items()} for member, fits in self._fits.items()
        }

    @classmethod
    def restore(cls, state: State) -> Ratios:
        """From `export`. A class unknown to this version is left out; a fit of another shape is a ValueError."""
        ratios = cls()
        for member, fits in state.items():
            ratios._fits[member] = {Script(name): Fit.restore(fit) for name, fit in fits.items() if name in set(Script)}
        return ratios

    def _fit(self, member: str, script: Script) -> Fit | None:
        fits = self._fits.get(member)
        if not fits:
            return None
        return fits.get(script) or Fit(self._template(fits))

    @staticmethod
    def _template(fits: Mapping[Script, Fit]) -> tuple[float, float, float]:
        """Where a class not seen yet starts: the template (b, c) is the member's, only the ratio is the script's."""
        if not fits:
            return PRIOR
        best = max(fits.values(), key=lambda fit: fit.answers)
        return 1.0, best.mean[1], best.mean[2]

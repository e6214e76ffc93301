"""How long answers are: what to expect of one, and what it will hardly exceed. Per (model, key), learned as they end.

A log-scaled histogram of bounded size per (model, key) and per model, both decayed by count. A key that has said
little leans on its model, a model that has said little on the prior. See docs/decisions/0034-output-lengths.md.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from math import ceil, log
from typing import TypeVar

GROWTH = 1.2  # each bucket is 20 % longer than the one before: a quantile is at most that far above the truth
BUCKETS = 66  # 1.2 ** 65 = 140 000 tokens; longer ones land in the last
MEMORY = 200  # an answer weighs e times less after this many more
ENOUGH = 20  # answers that outweigh what stands behind them
EXPECTED_PRIOR = 256  # tokens, of a model that has not answered yet
KEYS_MAX = 8_192  # (model, key) pairs kept, about 0.7 kB each; the longest unused goes first
K = TypeVar("K")
_STEP = 1 / log(GROWTH)
_DECAY = 1 - 1 / MEMORY
_RESCALE_AT = 1e12


class Lengths:
    """Decayed mean and histogram of one series. An answer's weight grows instead of all others shrinking."""

    __slots__ = ("_buckets", "_next", "_sum", "_weight")

    def __init__(self) -> None:
        self._buckets = array("d", bytes(8 * BUCKETS))
        self._sum = 0.0
        self._weight = 0.0
        self._next = 1.0

    @property
    def answers(self) -> float:
        """Effective number of answers remembered: at most MEMORY."""
        return self._weight / self._next

    @property
    def mean(self) -> float:
        """Tokens; 0 before the first answer."""
        return self._sum / self._weight if self._weight else 0.0

    def learn(self, tokens: int) -> None:
        """One answer ended."""
        weight = self._next = self._next / _DECAY
        self._buckets[_bucket(tokens)] += weight
        self._sum += weight * tokens
        self._weight += weight
        if weight > _RESCALE_AT:
            self._rescale()

    def quantile(self, q: float) -> int:
        """The upper edge of the bucket that holds the q-quantile; 0 before the first answer."""
        target, seen = q * self._weight, 0.0
        for index, weight in enumerate(self._buckets):
            seen += weight
            if seen and seen >= target:
                return _upper_edge(index)
        return _upper_edge(BUCKETS - 1) if self._weight else 0

    def _rescale(self) -> None:
        by = 1 / self._next
        self._buckets = array("d", (weight * by for weight in self._buckets))
        self._sum *= by
        self._weight *= by
        self._next = 1.0


class OutputLengths:
    """What to expect of an answer's length before it is asked for."""

    def __init__(self, *, expected_prior: int = EXPECTED_PRIOR, keys_max: int = KEYS_MAX):
        self._expected_prior = expected_prior
        self._keys_max = keys_max
        self._models: OrderedDict[str, Lengths] = OrderedDict()
        self._keys: OrderedDict[tuple[str, str], Lengths] = OrderedDict()

    def learn(self, model: str, key_id: str, output_tokens: int) -> None:
        """An answer of `model` to that key ended whole with so many tokens."""
        if output_tokens < 0:
            raise ValueError(f"output_tokens must not be negative: {output_tokens}")
        _touch(self._models, model, self._keys_max).learn(output_tokens)
        _touch(self._keys, (model, key_id), self._keys_max).learn(output_tokens)

    def expected(self, model: str, key_id: str, bound: int) -> int:
        """Tokens to expect, at least 1 and at most `bound`: the key's mean, leaning on the model's, on the prior."""
        mean = float(self._expected_prior)
        for known in (self._models.get(model), self._keys.get((model, key_id))):
            if known is not None:
                answers = known.answers
                share = answers / (answers + ENOUGH)
                mean = share * known.mean + (1 - share) * mean
        tokens = round(mean)
        if tokens > bound:
            tokens = bound
        return tokens if tokens > 1 else 1

    def quantile(self, model: str, key_id: str, q: float, bound: int) -> int:
        """Tokens that a share `q` of answers stays under; `bound` while too few answers are known to tell.

        Telling the q-quantile takes some answers beyond it: 1/(1-q) of them, and never fewer than ENOUGH.
        """
        needed = max(ENOUGH, min(1 / (1 - q), MEMORY / 2)) if q < 1 else float("inf")
        for known in (self._keys.get((model, key_id)), self._models.get(model)):
            if known is not None and known.answers >= needed:
                return max(1, min(bound, known.quantile(q)))
        return max(1, bound)


def _touch(series: OrderedDict[K, Lengths], key: K, most: int) -> Lengths:
    known = series.get(key)
    if known is None:
        known = series[key] = Lengths()
        if len(series) > most:
            series.popitem(last=False)
    else:
        series.move_to_end(key)
    return known


def _bucket(tokens: int) -> int:
    return min(BUCKETS - 1, ceil(log(tokens) * _STEP)) if tokens > 1 else 0


def _upper_edge(index: int) -> int:
    return ceil(GROWTH**index)

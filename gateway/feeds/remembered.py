"""Counts of texts seen before, bounded. A chat repeats its history at each turn; it is counted once.

A text is known by its hash and its length, and is not kept: no prompt stays in memory, and an entry takes as much for a
page as for a word. The hash is Python's own (SipHash, 64 bit, keyed at random for each process): 0.3 us for 800
characters, where a BLAKE2b digest takes 1.9 and counting 2 to 7. With 16 384 texts remembered, one new text in 10^15
meets the hash of another, and is still told apart unless it is as long; see docs/decisions/0031-token-counter.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

TOKENS_BITS = 32
TOKENS_MASK = (1 << TOKENS_BITS) - 1


class Remembered:
    """Two generations of counts: the younger is filled, and when it holds half of the bound the elder is forgotten.

    A text found in the elder moves to the younger, so what is in use stays. Not for several threads at once.
    """

    def __init__(self, texts_max: int, *, hash_of: Callable[[str], int] = hash):
        self._half = max(1, texts_max // 2)
        self._hash_of = hash_of
        self._young: dict[int, int] = {}  # hash -> length and tokens in one int: 140 bytes a text in all
        self._old: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def split(self, texts: Sequence[str]) -> tuple[int, list[str], int]:
        """Tokens of the texts known, the texts that are not, and their length in characters together."""
        known = size = 0
        fresh: list[str] = []
        for text in texts:
            tokens = self._find(text)
            if tokens is None:
                fresh.append(text)
                size += len(text)
            else:
                known += tokens
        return known, fresh, size

    def learn(self, texts: Iterable[str], counts: Iterable[int]) -> int:
        """Remember each text's count; returns their sum."""
        total = 0
        for text, tokens in zip(texts, counts, strict=True):
            self._keep(self._hash_of(text), len(text) << TOKENS_BITS | tokens)
            total += tokens
        return total

    def _find(self, text: str) -> int | None:
        key = self._hash_of(text)
        found = self._young.get(key)
        if found is None:
            found = self._old.get(key)
            if found is None:
                return None
            self._keep(key, found)
        return found & TOKENS_MASK if found >> TOKENS_BITS == len(text) else None

    def _keep(self, key: int, found: int) -> None:
        if len(self._young) >= self._half:
            self._old, self._young = self._young, {}
        self._young[key] = found

"""Counts of texts seen before, bounded in bytes. A chat repeats its history at each turn; it is counted once."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Sequence

KEPT_WHOLE_MAX = 4_096
"""Characters. Up to here a text is its own key: exact, and its hash (0.3 us for 800 characters) costs a fifth of any
digest. Longer ones are known by a 128-bit digest (6 us at 4096, where counting costs 40)."""
ENTRY_BYTES = 120
"""What a dictionary slot, an int and a digest take beside the text itself (CPython 3.11, measured, rounded up)."""

Key = str | bytes


class Remembered:
    """Two generations of counts: the younger is filled, and when it is half of the bound the elder is forgotten.

    A text found in the elder moves to the younger, so what is in use stays. Not for several threads at once.
    """

    def __init__(self, bytes_max: int):
        self._half = bytes_max // 2
        self._young: dict[Key, int] = {}
        self._old: dict[Key, int] = {}
        self._young_bytes = 0
        self._old_bytes = 0

    @property
    def bytes_held(self) -> int:
        """Memory of texts and entries, never above the bound by more than one text of KEPT_WHOLE_MAX characters."""
        return self._young_bytes + self._old_bytes

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
            self._keep(_key(text), tokens)
            total += tokens
        return total

    def _find(self, text: str) -> int | None:
        key = _key(text)
        tokens = self._young.get(key)
        if tokens is None:
            tokens = self._old.get(key)
            if tokens is not None:
                self._keep(key, tokens)
        return tokens

    def _keep(self, key: Key, tokens: int) -> None:
        if key in self._young:
            return
        if self._young_bytes >= self._half:
            self._old, self._old_bytes = self._young, self._young_bytes
            self._young, self._young_bytes = {}, 0
        self._young[key] = tokens
        self._young_bytes += ENTRY_BYTES + (sys.getsizeof(key) if isinstance(key, str) else 0)


def _key(text: str) -> Key:
    if len(text) <= KEPT_WHOLE_MAX:
        return text
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()

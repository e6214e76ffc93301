"""A prefix cache as model servers have one: what a conversation repeats is cheaper, in whole blocks."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence

BLOCK_TOKENS = 16


class Prefixes:
    """Remembers the beginnings of prompts by a hash of their texts; the longest unused are forgotten first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: OrderedDict[bytes, None] = OrderedDict()

    def cached_tokens(self, model: str, texts: Sequence[tuple[str, int]]) -> int:
        """Tokens of the longest known beginning of `texts` (text, tokens), and remember all of its beginnings."""
        digest = hashlib.sha256(model.encode())
        tokens = cached = 0
        for text, count in texts:
            digest.update(f"{len(text)}:{text}".encode("utf-8", "replace"))
            tokens += count
            beginning = digest.digest()
            if beginning in self._known:
                cached = tokens
                self._known.move_to_end(beginning)
            else:
                self._known[beginning] = None
        while len(self._known) > self._most:
            self._known.popitem(last=False)
        return cached - cached % BLOCK_TOKENS

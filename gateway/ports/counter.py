"""Tokens of a text."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Protocol

from gateway.domain.usage import Count

__all__ = ["Count", "TokenCounter"]


class TokenCounter(Protocol):
    """Counts in an OpenAI encoding ("o200k_base", "cl100k_base", "o200k_harmony").

    A text counted before is remembered by a hash of its content (bounded), so a chat's history is counted once.
    """

    def count(self, texts: Sequence[str], encoding: str) -> Count | Awaitable[Count]:
        """Sum over `texts`. Small or known texts are answered at once, large ones by a thread: an awaitable.

        Text above the counter's own cap, or while its queue is full, is estimated (`exact=False`), never refused.
        """
        ...

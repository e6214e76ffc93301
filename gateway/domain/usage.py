"""Tokens of one attempt, and how we know them."""

from __future__ import annotations

from enum import StrEnum

from gateway.domain.value import value


class Basis(StrEnum):
    """Where a usage figure comes from, best first."""

    PROVIDER = "provider"  # the backend reported it, and it was sane
    COUNTED = "counted"  # we counted what we relayed
    UNKNOWN = "unknown"  # sent, the connection was lost: prompt plus what arrived
    NONE = "none"  # nothing was sent, or the backend does not bill it


@value
class TokenUsage:
    """Tokens of one attempt. Inclusive throughout: cached and cache-write tokens are part of `input_tokens`,

    reasoning tokens part of `output_tokens` (a dialect whose upstream counts otherwise translates).
    """

    input_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    basis: Basis = Basis.NONE

    @property
    def uncached_input_tokens(self) -> int:
        """Input tokens the backend had to compute."""
        return self.input_tokens - self.cached_input_tokens

    @property
    def total_tokens(self) -> int:
        """Input plus output, as budgets count them."""
        return self.input_tokens + self.output_tokens


NO_USAGE = TokenUsage()


@value
class Count:
    """Tokens of some texts. exact: by the tokenizer itself; otherwise an upper-leaning estimate (see the counter)."""

    tokens: int
    exact: bool

"""How many input tokens a call is, on each member, before it is sent; and how many an answer was, if nobody says.

A member with an OpenAI encoding is counted exactly; any other by o200k_base times what was learned of it.
"""

from __future__ import annotations

import weakref
from collections.abc import Awaitable, Sequence
from typing import Protocol

from gateway.domain.call import ModelCall
from gateway.domain.usage import Count
from gateway.domain.value import value
from gateway.metering.ratios import Ratios
from gateway.metering.scripts import Script, script_of

YARDSTICK = "o200k_base"  # within 1-2 % of every open model's own count on English, so the best thing to scale
BY_RULE = frozenset({"tools", "json", "vision", "audio"})  # their tokens follow a rule that leans up: not exact
NOT_TEXT = frozenset({"vision", "audio"})  # and these say nothing of how a tokenizer splits text
SCHEMAS = frozenset({"tools", "json"})  # most of what they add to a prompt is JSON


class TextCounter(Protocol):
    """What we need of a counter; `ports.TokenCounter` is one."""

    def count(self, texts: Sequence[str], encoding: str) -> Count | Awaitable[Count]:
        """Sum over `texts`, at once or by a thread."""
        ...


@value
class Features:
    """What a call is to any tokenizer: text tokens by one encoding, and what the dialect's rule adds to them.

    script: None where the count is exact, since then there is nothing to scale; `unscaled` is the answer then.
    """

    counted: Count
    overhead: int
    messages: int
    script: Script | None
    given_ids: int
    teaches: bool
    unscaled: Count


class InputEstimator:
    """Counts a call once and answers for each member; what it found lives as long as the call."""

    def __init__(self, counter: TextCounter, ratios: Ratios):
        self._counter = counter
        self._ratios = ratios
        self._found: dict[tuple[int, str | None], tuple[weakref.ref[ModelCall], Features]] = {}

    @property
    def calls_known(self) -> int:
        """Calls in flight whose count is kept, one for each encoding."""
        return len(self._found)

    def estimate(self, call: ModelCall, encoding: str | None, member: str) -> Count | Awaitable[Count]:
        """Input tokens of `call` on `member`: at once when its texts are small or known, else awaitable.

        exact: by the member's own OpenAI `encoding`, and nothing in the call is estimated by rule.
        """
        found = self._found.get((id(call), encoding))
        if found is not None:
            return self._on(member, found[1])
        counted = self._counter.count([part.text for part in call.texts], encoding or YARDSTICK)
        if isinstance(counted, Count):
            return self._on(member, self._remember(call, encoding, counted))
        return self._later(call, encoding, member, counted)

    def learn(self, member: str, call: ModelCall, reported: int) -> None:
        """What `member` says the call took. One that was counted exactly, or not of text alone, teaches nothing."""
        found = self._found.get((id(call), None))
        if found is None or not found[1].teaches:
            return
        seen = found[1]
        if seen.script is None:
            return
        self._ratios.learn(
            member,
            seen.script,
            counted=seen.counted.tokens,
            overhead=seen.overhead,
            messages=seen.messages,
            reported=reported - seen.given_ids,
        )

    def count_output(self, texts: Sequence[str], encoding: str | None, member: str) -> Count | Awaitable[Count]:
        """Output tokens of relayed text, for when the backend reported none."""
        counted = self._counter.count(texts, encoding or YARDSTICK)
        if isinstance(counted, Count):
            return self._output(texts, encoding, member, counted)
        return self._output_later(texts, encoding, member, counted)

    async def _later(self, call: ModelCall, encoding: str | None, member: str, counted: Awaitable[Count]) -> Count:
        return self._on(member, self._remember(call, encoding, await counted))

    async def _output_later(
        self, texts: Sequence[str], encoding: str | None, member: str, counted: Awaitable[Count]
    ) -> Count:
        return self._output(texts, encoding, member, await counted)

    def _output(self, texts: Sequence[str], encoding: str | None, member: str, counted: Count) -> Count:
        if encoding is not None:
            return counted
        return Count(self._ratios.text_tokens(member, script_of(texts), counted.tokens), exact=False)

    def _on(self, member: str, seen: Features) -> Count:
        if seen.script is None:
            return seen.unscaled
        tokens = self._ratios.tokens(
            member, seen.script, counted=seen.counted.tokens, overhead=seen.overhead, messages=seen.messages
        )
        return Count(tokens + seen.given_ids, exact=False)

    def _remember(self, call: ModelCall, encoding: str | None, counted: Count) -> Features:
        overhead, needs = call.fixed_tokens, call.needs
        for part in call.texts:
            overhead += part.extra_tokens
        features = Features(
            counted=counted,
            overhead=overhead,
            messages=len(call.texts),
            script=None if encoding else class_of(call),
            given_ids=call.token_ids,
            teaches=counted.exact and NOT_TEXT.isdisjoint(needs),
            unscaled=Count(
                counted.tokens + overhead + call.token_ids, exact=counted.exact and BY_RULE.isdisjoint(needs)
            ),
        )
        key = (id(call), encoding)
        # The id is free for another call only after this one is gone, and then the entry is gone with it.
        self._found[key] = (weakref.ref(call, lambda _: self._found.pop(key, None)), features)
        return features


def class_of(call: ModelCall) -> Script:
    """The class whose ratio holds for a call."""
    return Script.CODE if call.needs & SCHEMAS else script_of([part.text for part in call.texts])

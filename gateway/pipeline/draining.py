"""A caller has left a backend that bills in full anyway: read on to its usage event, within bounds.

Bounded in number, time and bytes; above a bound the socket is closed and what was counted is charged.
"""

from __future__ import annotations

import asyncio

from gateway.dialects import openai
from gateway.domain.faults import BackendFailed
from gateway.domain.usage import TokenUsage
from gateway.pipeline.closing import sane
from gateway.pipeline.walk import Attempt, Walk
from gateway.ports import Answer

DRAINS_MAX = 64
DRAIN_SECONDS = 60.0


class Drainer:
    """Reads abandoned answers to their end."""

    def __init__(self) -> None:
        self._running = 0

    def takes(self, walk: Walk, attempt: Attempt) -> bool:
        """Whether this attempt's answer should be read on, and there is room for it."""
        backend = walk.snapshot.backends[attempt.record.backend]
        unfinished = not attempt.complete and not attempt.failure
        return backend.on_disconnect == "drain" and unfinished and self._running < DRAINS_MAX

    async def drain(self, walk: Walk, attempt: Attempt, answer: Answer) -> None:
        """Read to the end or to a bound; the attempt's usage is what the backend said, if it came to say it."""
        self._running += 1
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                usage = await (self._stream(attempt, answer, walk) if attempt.reader else self._whole(attempt, walk))
            attempt.usage = sane(usage, walk.call, attempt.choice.quote.output_tokens_max)
        except (BackendFailed, TimeoutError):
            pass  # what was relayed is counted and charged instead
        finally:
            self._running -= 1
            answer.close()

    async def _stream(self, attempt: Attempt, answer: Answer, walk: Walk) -> TokenUsage | None:
        reader = attempt.reader
        if reader is None:
            return None
        left = walk.snapshot.limits.answer_bytes
        async for chunk in answer.chunks():
            reader.feed(chunk)
            left -= len(chunk)
            if left < 0:
                break
        return reader.usage

    async def _whole(self, attempt: Attempt, walk: Walk) -> TokenUsage | None:
        if attempt.body_task is None:
            return None
        return openai.read_answer(walk.call.kind, await attempt.body_task).usage

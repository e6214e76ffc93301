"""What of a stream is kept so that it can be counted later, should no usage come."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import orjson

from gateway.dialects.answers import choice_text
from gateway.dialects.sse import EventSplitter, data_of
from gateway.domain.faults import BackendFailed


class Kept:
    """The raw bytes up to a cap, unparsed until they are asked for. `whole`: nothing was left out."""

    def __init__(self, bytes_max: int) -> None:
        self.whole = True
        self._left = bytes_max
        self._chunks: list[bytes] = []

    def add(self, chunk: bytes) -> None:
        """Once per chunk: costs an append."""
        if self.whole:
            self.whole = len(chunk) <= self._left
            self._chunks.append(chunk if self.whole else chunk[: self._left])
            self._left -= len(chunk)

    def texts(self) -> tuple[str, ...]:
        """What was said, one text per choice; parses all that was kept. Errors and comments were not said."""
        said: dict[int, list[str]] = {}
        for event in self._events():
            for choice in choices_of(parsed_event(event)):
                index = choice.get("index")
                said.setdefault(index if type(index) is int else 0, []).append(choice_text(choice))
        return tuple("".join(pieces) for _, pieces in sorted(said.items()))

    def _events(self) -> Iterator[bytes]:
        splitter = EventSplitter()
        with suppress(BackendFailed):  # the stream ended at a cap: what came before was said
            yield from splitter.push(b"".join(self._chunks))
            yield bytes(splitter.tail)


def parsed_event(event: bytes) -> dict[str, Any]:
    """An event's JSON object; empty for anything else, which then just passes."""
    try:
        parsed = orjson.loads(data_of(event))
    except orjson.JSONDecodeError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def choices_of(parsed: dict[str, Any]) -> list[dict[str, Any]]:
    """The choices of an event or answer that are objects."""
    choices = parsed.get("choices")
    return [choice for choice in choices if isinstance(choice, dict)] if isinstance(choices, list) else []

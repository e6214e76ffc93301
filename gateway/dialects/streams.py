"""Reads a stream while it passes: usage, cost, the end mark; changes only the bytes that `include_usage` is about.

Every byte that is not about usage passes as it came. An incomplete event is passed on at once as far as it can not
turn out to be about usage; nothing else waits.

    event                                    caller asked for usage          caller did not
    usage, no choices                        cost added to the usage object  hidden
    usage beside choices (finish chunk)      cost added to the usage object  as it came
    `"usage": null` at the top level         as it came                      that field removed
    any other                                as it came                      as it came
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import orjson

from gateway.dialects.answers import choice_text
from gateway.dialects.kept import Kept, choices_of, parsed_event
from gateway.dialects.members import member_span
from gateway.dialects.sse import LATE_LF, LINE_BYTES_MAX, EventSplitter, data_of
from gateway.dialects.usage import joulegate_fields, read_usage, with_price
from gateway.domain.bill import Bill
from gateway.domain.call import CallKind
from gateway.domain.usage import TokenUsage

_USAGE_MARK = b'"usage"'  # inside a JSON string its quotes would be escaped, so this is a key, or the whole string
_ERROR_MARK = b'"error"'
_DONE = b"[DONE]"
_WHOLE_EVENT = (b"}\n\n", b"}\r\n\r\n")  # not just the empty line: three LF in a row end one event and begin another
_NULL = b'"usage":null'
_NULL_MEMBER = b',"usage":null'
_NULL_LAST = b',"usage":null}\n\n'
_HAS_CHOICES = re.compile(rb'"choices"\s*:\s*\[\s*[^\]\s]')
_CHOICES_MARK_BYTES = 64  # the mark with some space in it; with more, the event just waits until it is complete
# Where the usage field begins, or may yet begin when more bytes come.
_MAYBE_USAGE = re.compile(rb'[,{]\s*(?:"usage"|"usage\Z|"usag\Z|"usa\Z|"us\Z|"u\Z|"\Z|\Z)')


class StreamReader:
    """One stream's reader: `feed` each chunk, then `finish`. `bill` prices a usage and must not depend on when it is

    called; it is asked once per event that carries usage, and only if the caller wants usage or a comment.

    usage: what the last usage object said, None if none came or the last was not sane. complete: `[DONE]` was seen.
    first_token: some content was seen. failed: an error event was seen.
    """

    def __init__(
        self,
        kind: CallKind,
        *,
        wants_usage: bool,
        bill: Callable[[TokenUsage], Bill | None],
        keep_bytes: int,
        comment: bool = False,
    ) -> None:
        self.usage: TokenUsage | None = None
        self.complete = False
        self.first_token = False
        self.failed = False
        self._kind = kind
        self._wants_usage = wants_usage
        self._bill = bill
        self._comment = comment
        self._kept = Kept(keep_bytes)
        self._splitter = EventSplitter()
        self._passed = 0  # bytes of the incomplete event that went down already
        self._choices_seen = False  # in the incomplete event
        self._choices_searched = 0
        self._hidden = False  # whether the last event was, for the LF that may follow its CR
        self._between_events = True

    def feed(self, chunk: bytes) -> bytes:
        """Take what arrived; returns what may go down now. Raises BackendFailed for lines or events above their cap."""
        if not chunk:
            return b""
        self._kept.add(chunk)
        if (
            self.first_token
            and self._between_events
            and chunk.endswith(_WHOLE_EVENT)
            and _DONE not in chunk
            and _ERROR_MARK not in chunk
            and len(chunk) < LINE_BYTES_MAX
        ):
            if _USAGE_MARK not in chunk:
                return chunk
            if _is_one_event(chunk):
                return self._about_usage(chunk)
        return self._feed_slowly(chunk)

    def _feed_slowly(self, chunk: bytes) -> bytes:
        out = [self._late_lf() if event == LATE_LF else self._event(event) for event in self._splitter.push(chunk)]
        out.append(self._beginning_of_next())
        self._between_events = not self._splitter.tail and not chunk.endswith(b"\r")
        passed = b"".join(out)
        return chunk if passed == chunk else passed

    def finish(self) -> bytes:
        """The stream ended. What is left of it goes down: an event without its empty line is read as if it had one."""
        tail = bytes(self._splitter.tail)
        self._splitter.tail.clear()
        return self._event(tail) if tail else b""

    def output_texts(self) -> tuple[str, ...]:
        """What was said, one text per choice, from the bytes kept; for counting when no usage came."""
        return self._kept.texts()

    @property
    def kept_whole(self) -> bool:
        """Whether `output_texts` sees the whole stream."""
        return self._kept.whole

    def _event(self, event: bytes) -> bytes:
        """What of a complete event still has to go down."""
        if not self.first_token or _DONE in event or _ERROR_MARK in event:
            self._look(event)
        passes = self._about_usage(event) if _USAGE_MARK in event else event
        self._hidden = not passes
        rest = passes[self._passed :]
        self._passed = self._choices_searched = 0
        self._choices_seen = False
        return rest

    def _late_lf(self) -> bytes:
        """The LF of an event that was complete at its CR: goes where that event went."""
        return b"" if self._hidden else LATE_LF

    def _beginning_of_next(self) -> bytes:
        """As much of the incomplete event as can not turn out to be about usage."""
        tail = self._splitter.tail
        if not tail or not (self._wants_usage or self._has_choices(tail)):
            return b""
        doubt = _MAYBE_USAGE.search(tail, self._passed)
        end = doubt.start() if doubt else len(tail)
        begun, self._passed = bytes(tail[self._passed : end]), end
        return begun

    def _has_choices(self, tail: bytearray) -> bool:
        """Whether the incomplete event has choices, so that it will not be hidden. Looks at each byte about once."""
        if not self._choices_seen:
            start = max(0, self._choices_searched - _CHOICES_MARK_BYTES)
            self._choices_seen = _HAS_CHOICES.search(tail, start) is not None
            self._choices_searched = len(tail)
        return self._choices_seen

    def _look(self, event: bytes) -> None:
        """The signs that matter in a few events only, so that the others need not be parsed."""
        if data_of(event).strip() == _DONE:
            self.complete = True
            return
        parsed = parsed_event(event)
        self.failed = self.failed or bool(parsed.get("error"))
        self.first_token = self.first_token or any(choice_text(choice) for choice in choices_of(parsed))

    def _about_usage(self, event: bytes) -> bytes:
        """What an event with a usage field becomes."""
        only_null = _NULL in event and event.count(_USAGE_MARK) == 1
        if only_null and self._wants_usage:
            return event
        if only_null and event.endswith(_NULL_LAST) and _is_one_event(event):
            return event[: -len(_NULL_LAST)] + b"}\n\n"  # the brace after it closes the outermost object
        data = data_of(event)
        parsed = parsed_event(event)
        if "usage" not in parsed:
            return event
        reported = parsed["usage"]
        if isinstance(reported, dict):
            self.usage = read_usage(self._kind, reported)
            if self._wants_usage:
                return self._priced(event, data, reported)
            return event if parsed.get("choices") or _HAS_CHOICES.search(event) else self._instead()
        if reported is None and not self._wants_usage:
            return event.replace(_NULL_MEMBER, b"", 1) if only_null and _NULL_MEMBER in event else _cut(event, data)
        return event

    def _instead(self) -> bytes:
        """What stands where a usage event is hidden: nothing, or a comment for keys that ask for one."""
        bill = self._bill(self.usage) if self._comment and self.usage is not None else None
        return b"" if bill is None else b": joulegate %b\n\n" % orjson.dumps(joulegate_fields(bill))

    def _priced(self, event: bytes, data: bytes, reported: dict[str, Any]) -> bytes:
        bill = None if self.usage is None else self._bill(self.usage)
        span = member_span(data, "usage")
        if bill is None or span is None:
            return event
        priced = with_price(reported, bill)
        if priced == reported:
            return event  # nothing that this caller may see
        return event.replace(data, data[: span.value_start] + orjson.dumps(priced) + data[span.end :], 1)


def _is_one_event(chunk: bytes) -> bool:
    """Whether a chunk is one event of one data line, ended by two LF: what nearly every server writes at a time."""
    return chunk.startswith(b"data: {") and chunk.find(b"\n") == len(chunk) - 2 and b"\r" not in chunk


def _cut(event: bytes, data: bytes) -> bytes:
    span = member_span(data, "usage")
    if span is None:
        return event
    return event.replace(data, data[: span.cut_start] + data[span.cut_end :], 1)

"""Server-sent events as bytes: where one ends, and what its data is. Knows nothing of what the data says.

A line ends in LF, CR or CRLF; an empty line ends an event. Bytes are never decoded here, and never changed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from gateway.domain.faults import BackendFailed, FailureKind

LINE_BYTES_MAX = 1024 * 1024
EVENT_BYTES_MAX = 4 * 1024 * 1024
BOM = b"\xef\xbb\xbf"
LATE_LF = b"\n"  # no event is as short as this: see EventSplitter

_LINE_END = re.compile(rb"\r\n|\n|\r")
# Atomic groups: a CRLF must never be taken for a CR and an LF, which would be an empty line.
_EVENT_END = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
_LONGEST_END = 4


class EventSplitter:
    """Cuts a stream into events wherever its chunks were cut. An event keeps all its bytes, the empty line included.

    An event that ends in CR is complete there. Should LF follow, it belongs to that event: it comes alone, as an
    event of one byte, so that the bytes joined are always the bytes that came.
    """

    def __init__(self) -> None:
        self.tail = bytearray()  # an event not yet complete
        self._searched = 0  # no event ends before this offset of the tail
        self._ended_in_cr = False

    def push(self, chunk: bytes) -> Iterator[bytes]:
        """The events that `chunk` completes. Raises BackendFailed for a line or event above its cap."""
        if self._ended_in_cr and chunk:
            self._ended_in_cr = False
            if chunk.startswith(b"\n"):
                yield LATE_LF
                chunk = chunk[1:]
        tail = self.tail
        tail += chunk
        start = 0
        for end in _EVENT_END.finditer(tail, self._searched):
            event = bytes(tail[start : end.end()])
            _check_size(event)
            start = end.end()
            yield event
        if start:
            del tail[:start]
            self._ended_in_cr = not tail and event.endswith(b"\r")
        _check_size(tail)
        self._searched = max(0, len(tail) - _LONGEST_END)
        if tail[self._searched : self._searched + 1] == b"\n":
            self._searched = max(0, self._searched - 1)  # it may be the second half of a CRLF


def _check_size(event: bytes | bytearray) -> None:
    if len(event) <= LINE_BYTES_MAX:
        return
    if len(event) > EVENT_BYTES_MAX:
        raise _too_long("an event", EVENT_BYTES_MAX)
    start = 0
    for end in _LINE_END.finditer(event):
        if end.start() - start > LINE_BYTES_MAX:
            raise _too_long("a line", LINE_BYTES_MAX)
        start = end.end()
    if len(event) - start > LINE_BYTES_MAX:
        raise _too_long("a line", LINE_BYTES_MAX)


def _too_long(what: str, cap: int) -> BackendFailed:
    return BackendFailed(FailureKind.PROTOCOL, f"the stream has {what} longer than {cap} bytes", sent=True)


def data_of(event: bytes) -> bytes:
    """An event's data: its `data` lines without the field's name, joined by LF. Comments, other fields are skipped."""
    if event.startswith(BOM):
        event = event[len(BOM) :]
    if event.startswith(b"data: ") and event.endswith(b"\n\n") and event.find(b"\n") == len(event) - 2:
        plain = event[6:-2]
        if b"\r" not in plain:
            return plain  # what nearly every server sends, at a tenth of the cost
    lines = []
    for line in _LINE_END.split(event):
        if line.startswith(b"data:"):
            lines.append(line[6:] if line.startswith(b"data: ") else line[5:])
        elif line == b"data":
            lines.append(b"")
    return b"\n".join(lines)

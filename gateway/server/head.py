"""Response heads as bytes: status line, the headers we were given, framing, and nothing that names our software.

Written by hand because aiohttp's response objects cost several times what the bytes do; what aiohttp guards
against (a value with line ends of its own) is guarded here by counting them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from email.utils import formatdate
from http import HTTPStatus

from gateway.ports.clock import Clock

_FRAMING = frozenset({"connection", "content-length", "date", "keep-alive", "transfer-encoding", "trailer", "upgrade"})
_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")  # RFC 9110 section 5.5: all but HTAB
_NAME = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+\Z", re.IGNORECASE)
_END = b"\r\n\r\n"
_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}" for status in HTTPStatus}


class Heads:
    """Builds heads; keeps the Date of the current second."""

    def __init__(self, clock: Clock):
        self._clock = clock
        self._second = -1
        self._date = ""

    def build(
        self, status: int, headers: Sequence[tuple[str, str]], request_id: str, *, framing: str, closing: str
    ) -> bytes:
        """`framing`: the line that says how long the body is, or "". `closing`: a Connection line, or ""."""
        names = [name for name, _ in headers]
        joined = "".join(names)
        if joined != joined.lower() or not _FRAMING.isdisjoint(names):
            headers = [(name.lower(), value) for name, value in headers if name.lower() not in _FRAMING]
            names = [name for name, _ in headers]
        lines = [_STATUS_LINES.get(status) or f"HTTP/1.1 {status} Unknown"]
        lines += [f"{name}: {value}" for name, value in headers]
        if "content-type" not in names:
            lines.append("content-type: application/json")
        if "x-request-id" not in names:
            lines.append(f"x-request-id: {request_id}")
        lines.append(self._date_line())
        if framing:
            lines.append(framing)
        if closing:
            lines.append(closing)
        text = "\r\n".join(lines)
        ends = len(lines) - 1
        if text.count("\n") != ends or text.count("\r") != ends or "\0" in text:  # a value brings its own
            text = "\r\n".join(line for line in map(_cleaned, lines) if line)
        return text.encode("latin-1", "replace") + _END

    def _date_line(self) -> str:
        second = self._clock.wall_ms() // 1000
        if second != self._second:
            self._second, self._date = second, f"date: {formatdate(second, usegmt=True)}"
        return self._date


def _cleaned(line: str) -> str:
    """The line without control characters; "" when its name is no header name."""
    name, colon, _ = line.partition(":")
    if colon and not line.startswith("HTTP/") and _NAME.match(name) is None:
        return ""
    return _CONTROLS.sub(" ", line)

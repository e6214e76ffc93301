"""Response heads as bytes: status line, the headers we were given, framing, and nothing that names our software.

Written by hand because aiohttp's response objects cost several times what the bytes do; what aiohttp guards
against (control characters in a value) is guarded here by counting line ends.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from email.utils import formatdate
from http import HTTPStatus

from gateway.ports.clock import Clock

_FRAMING = frozenset({"connection", "content-length", "date", "keep-alive", "transfer-encoding", "trailer", "upgrade"})
_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")  # RFC 9110 section 5.5: all but HTAB
_NAME = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+\Z", re.IGNORECASE)
_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}" for status in HTTPStatus}


class Heads:
    """Builds heads; keeps the Date of the current second."""

    def __init__(self, clock: Clock):
        self._clock = clock
        self._second = -1
        self._date = ""

    def build(
        self, status: int, headers: Iterable[tuple[str, str]], request_id: str, *, framing: str, closing: str
    ) -> bytes:
        """`framing`: the line that says how long the body is, or "". `closing`: a Connection line, or ""."""
        lines = [_STATUS_LINES.get(status) or f"HTTP/1.1 {status} Unknown"]
        typed = identified = False
        for name, value in headers:
            lower = name.lower()
            if lower in _FRAMING:
                continue
            typed = typed or lower == "content-type"
            identified = identified or lower == "x-request-id"
            lines.append(f"{lower}: {value}")
        if not typed:
            lines.append("content-type: application/json")
        if not identified:
            lines.append(f"x-request-id: {request_id}")
        lines.append(self._date_line())
        lines += [line for line in (framing, closing) if line]
        text = "\r\n".join(lines)
        if _has_controls(text, len(lines) - 1):
            text = "\r\n".join(line for line in map(_cleaned, lines) if line)
        return text.encode("latin-1", "replace") + b"\r\n\r\n"

    def _date_line(self) -> str:
        second = self._clock.wall_ms() // 1000
        if second != self._second:
            self._second, self._date = second, f"date: {formatdate(second, usegmt=True)}"
        return self._date


def _has_controls(text: str, line_ends: int) -> bool:
    """Whether some value brings a control character of its own: more line ends than lines, or any other one.

    `isprintable` of the text without our line ends is one pass in C; a tab or a non-ASCII character merely takes
    the slow way.
    """
    return text.count("\r\n") != line_ends or not text.replace("\r\n", "").isprintable()


def _cleaned(line: str) -> str:
    """The line without control characters; "" when its name is no header name."""
    name, colon, _ = line.partition(":")
    if colon and not line.startswith("HTTP/") and _NAME.match(name) is None:
        return ""
    return _CONTROLS.sub(" ", line)

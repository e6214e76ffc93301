"""Reading what a backend answers: HTTP/1.1 by llhttp, strictly, and no more of it than the gateway needs.

No sockets here, only bytes. llhttp in its strict mode refuses bare line feeds, folded headers, control characters,
two lengths, and a length beside chunks; what it would let pass and we do not stands in `on_headers_complete`.
"""

from __future__ import annotations

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

HEAD_BYTES_MAX = 32 * 1024
FIELD_BYTES_MAX = 8_190  # of one header; what most servers allow
FIELDS_MAX = 100  # of the head and the trailers together
INTERIMS_MAX = 8  # 100, 102 and 103 answers before the final one
FRAMING_BYTES_MAX = 32 * 1024  # chunk extensions and trailers in a row, without a byte of body between
# All that may go down. Not set-cookie, server, via, the provider's organisation, nor its rate limits.
PASSED_HEADERS = {name.encode(): name for name in ("content-type", "retry-after", "retry-after-ms")}

_HEAD_END = b"\r\n\r\n"
_LAST_CHUNK = b"0\r\n\r\n"
_VERSIONS = ("1.1", "1.0")
_NOT_HTTP = "the answer is not HTTP"


class BadAnswer(Exception):
    """An answer that must not be relayed; its connection is worth nothing. `status` if its head was read."""

    def __init__(self, message: str, status: int | None = None):
        super().__init__(message)
        self.message = message
        self.status = status


class AnswerReader:
    """The answers of one connection, one after the other: `begin` before each, `feed` what comes, `end` at a close.

    `pieces` is the body so far, for the owner to take away. `headed`: status and headers are known. `complete`: the
    last byte is here. `reusable`: complete, and nothing at all speaks against another request on this connection.
    """

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.on_body = self.pieces.append  # llhttp calls the list itself: nothing of ours runs for each piece
        self._parser = HttpResponseParser(self)
        self.begin()
        self.complete = True  # nothing was asked yet

    def begin(self) -> None:
        """Forget the last answer, expect the next."""
        self.pieces.clear()
        self.headers: dict[str, str] = {}
        self.status = 0
        self.length: int | None = None
        self.headed = self.complete = self.reusable = False
        self._codings: list[bytes] = []
        self._compressed = self._keep_alive = self._surplus = False
        self._fault: str | None = None
        self._head = b""
        self._fields = self._interims = self._framing_bytes = self._last_piece = 0
        self._received_bytes = self._head_bytes = self._body_bytes = 0

    def feed(self, arrived: bytes) -> int:
        """Bytes of the connection; returns how many of them were body. Raises BadAnswer."""
        known, was_headed, was_complete = len(self.pieces), self.headed, self.complete
        if was_complete:
            self.reusable = False  # nobody asked for these
            return 0
        self._received_bytes += len(arrived)
        try:
            self._parser.feed_data(arrived)
        except (HttpParserError, HttpParserUpgrade) as fault:
            raise BadAnswer(self._fault or _NOT_HTTP, self.status or None) from fault
        finally:
            if self._surplus:
                del self.pieces[self._last_piece :]
        if not was_headed:
            self._weigh_head(arrived)
        if self._fields > FIELDS_MAX:
            self._fault = f"the answer has more than {FIELDS_MAX} headers"
        if self._fault is not None:
            raise BadAnswer(self._fault, self.status or None)
        body_bytes = sum(map(len, self.pieces[known:]))
        self._body_bytes += body_bytes
        if self.complete:
            self.reusable = (
                self._keep_alive and not self._surplus and not self._interims and self._ends_exactly(arrived)
            )
        elif was_headed:
            self._weigh_framing(0 if body_bytes else len(arrived))
        return body_bytes

    def end(self) -> bool:
        """The peer closed: whether that makes the answer whole (it had no length, so this is how it ends)."""
        if self.headed and not self.complete and self.length is None and not self._codings:
            self.complete = True
        return self.complete

    def on_message_begin(self) -> None:
        """Called by llhttp. A second answer is nobody's: all that is said of it is ignored."""
        self._surplus = self.complete

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by llhttp for each header, and each trailer."""
        if self.complete:
            return
        self._fields += 1
        if len(value) > FIELD_BYTES_MAX or len(name) > FIELD_BYTES_MAX:
            self._fault = f"the answer has a header of more than {FIELD_BYTES_MAX} bytes"
        if self.headed:
            return
        name = name.lower()
        if name in PASSED_HEADERS:
            text = value.decode("utf-8", "surrogateescape")
            if text.isprintable():
                self.headers.setdefault(PASSED_HEADERS[name], text)
        elif name == b"content-length":
            self.length = int(value)  # llhttp has seen to it that it is digits, and there once
        elif name == b"transfer-encoding":
            self._codings.append(value.strip().lower())
        elif name == b"content-encoding":
            self._compressed |= value.strip().lower() not in (b"", b"identity")

    def on_headers_complete(self) -> None:
        """Called by llhttp: judges the head."""
        if self.complete:
            return
        self.status = self._parser.get_status_code()
        version = self._parser.get_http_version()
        if version not in _VERSIONS:
            self._fault = _NOT_HTTP
        elif self.status < 200 and (self.status not in (100, 102, 103) or self.length is not None or self._codings):
            self._fault = f"the backend answered {self.status}"
        elif 300 <= self.status < 400:
            self._fault = f"the backend answered {self.status}; redirects are never followed"
        elif self._codings and (self._codings != [b"chunked"] or version == "1.0"):
            self._fault = "the answer's framing is in doubt"
        elif self._compressed:
            self._fault = "the backend compressed its answer although told not to"
        self.headed = self.status >= 200 or self._fault is not None

    def on_message_complete(self) -> None:
        """Called by llhttp after the last byte; also after an interim answer, which is skipped."""
        if self._fault is not None or self.complete:
            return
        if self.headed:
            self.complete = True
            self._last_piece = len(self.pieces)
            self._keep_alive = self._parser.should_keep_alive()
            return
        self._interims += 1
        self.headers = {}
        if self._interims > INTERIMS_MAX:
            self._fault = "the backend sent one interim answer after the other"

    def _weigh_head(self, arrived: bytes) -> None:
        """Hold a head that came in parts to its limit, and learn where it ends."""
        head = self._head + arrived
        self._head_bytes = head.find(_HEAD_END) + len(_HEAD_END) if self.headed else len(head)
        if self._head_bytes > HEAD_BYTES_MAX:
            self._fault = f"the answer's head is larger than {HEAD_BYTES_MAX} bytes"
        elif self.headed and not head.startswith(b"HTTP/"):
            self._fault = _NOT_HTTP
        self._head = b"" if self.headed else head

    def _weigh_framing(self, framing_bytes: int) -> None:
        self._framing_bytes = self._framing_bytes + framing_bytes if framing_bytes else 0
        if self._framing_bytes > FRAMING_BYTES_MAX:
            raise BadAnswer("the answer's framing is in doubt", self.status)

    def _ends_exactly(self, arrived: bytes) -> bool:
        """No byte behind the end: llhttp skips empty lines there without a word. A chunked end in parts is a doubt."""
        if self._codings:
            return arrived.endswith(_LAST_CHUNK)
        return self._received_bytes == self._head_bytes + self._body_bytes

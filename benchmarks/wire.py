"""As much HTTP/1.1 as a mock and a load generator need, and no more: heads, bodies with a length, chunked streams.

Written by hand on bytes, since both must cost far less than what they measure.
"""

from __future__ import annotations

import re

HEAD_END = b"\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[ \t]*chunked", re.IGNORECASE)
STAMP = re.compile(rb'"content": ?"t(\d{19})')


def body_length(head: bytes) -> int | None:
    """`content-length`, None if there is none."""
    found = _LENGTH.search(head)
    return int(found.group(1)) if found else None


def is_chunked(head: bytes) -> bool:
    """Whether the body comes in chunks."""
    return _CHUNKED.search(head) is not None


def status_of(head: bytes) -> int:
    """Of a response's head."""
    return int(head[9:12])


def post(path: str, host: str, body: bytes, key: str = "") -> bytes:
    """A whole request."""
    authorization = f"authorization: Bearer {key}\r\n" if key else ""
    head = (
        f"POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n{authorization}"
        f"content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def chunk(payload: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(payload), payload)

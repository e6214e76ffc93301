"""The head of every request we send: built from configuration alone, all but three values before the first request."""

from __future__ import annotations

import re

from gateway.backends.target import Target
from gateway.domain.catalog import Backend

USER_AGENT = "joulegate"
FRAMING = frozenset({"content-length", "transfer-encoding", "connection", "expect", "te", "trailer", "upgrade"})
OURS = frozenset({"content-type", "accept", "accept-encoding", "user-agent", "x-request-id", "traceparent"})
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_PATH = re.compile(r"/[!-~]*")


class RequestHeads:
    """Of one backend. Raises ValueError if a configured header can not be sent."""

    def __init__(self, backend: Backend, target: Target) -> None:
        self._base = target.base
        self._fields = {stream: _fields(backend, target, stream) for stream in (False, True)}
        self._begun: dict[tuple[str, bool], str] = {}

    def head(self, path: str, *, stream: bool, body_bytes: int, request_id: str, traceparent: str | None) -> bytes:
        """Up to and with the empty line. Raises ValueError for a value that could end a line."""
        begun = self._begun.get((path, stream)) or self._begin(path, stream)
        if not _sendable(request_id) or not (traceparent is None or _sendable(traceparent)):
            raise ValueError("a request id or traceparent is not printable ASCII")
        trace = "" if traceparent is None else f"traceparent: {traceparent}\r\n"
        return f"{begun}{body_bytes}\r\nx-request-id: {request_id}\r\n{trace}\r\n".encode()

    def _begin(self, path: str, stream: bool) -> str:
        if not _PATH.fullmatch(path):
            raise ValueError("not a path")
        begun = f"POST {self._base}{path} HTTP/1.1\r\n{self._fields[stream]}content-length: "
        self._begun[path, stream] = begun  # three paths exist, all ours
        return begun


def _fields(backend: Backend, target: Target, stream: bool) -> str:
    """All but what differs by request. The backend's key goes in last, and nothing configured can stand for ours."""
    kept = [(name.lower(), value) for name, value in backend.headers]
    if backend.api_key is not None:
        kept = [(name, value) for name, value in kept if name != "authorization"]
    fields = [
        *((name, value) for name, value in kept if name not in OURS),
        ("content-type", "application/json"),
        ("accept", "text/event-stream" if stream else "application/json"),
        ("accept-encoding", "identity"),
        ("user-agent", USER_AGENT),
    ]
    if all(name != "host" for name, _ in fields):
        fields.insert(0, ("host", target.authority))
    if backend.api_key is not None:
        fields.append(("authorization", f"Bearer {backend.api_key}"))
    for name, value in fields:
        if name in FRAMING or not _TOKEN.fullmatch(name) or not value.isprintable():
            raise ValueError(f"backend {backend.name}: header {name!r} can not be sent")
    return "".join(f"{name}: {value}\r\n" for name, value in fields)


def _sendable(value: str) -> bool:
    return value.isascii() and value.isprintable()

"""Callers that look at bytes, where an SDK would hide them."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

CHAT = "/v1/chat/completions"
PATIENCE_S = 30.0


@dataclass(frozen=True)
class Answer:
    """A whole answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> dict[str, Any]:
        """The error object."""
        return dict(json.loads(self.body)["error"])


def a_chat(text: str = "Hello there.", **fields: object) -> dict[str, Any]:
    return {"model": "chat", "messages": [{"role": "user", "content": text}], "max_tokens": 20, **fields}


def ask(
    port: int,
    key: str | None,
    body: Mapping[str, Any] | bytes | None = None,
    *,
    path: str = CHAT,
    method: str = "POST",
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """One request on a connection of its own."""
    connection = _sent(port, key, body, path, method, headers)
    try:
        response = connection.getresponse()
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
    finally:
        connection.close()


class Stream:
    """A streamed answer, read as it comes."""

    def __init__(self, port: int, key: str, body: Mapping[str, Any] | None = None):
        self._connection = _sent(port, key, {**(body or a_chat()), "stream": True}, CHAT, "POST", None)
        self._response = self._connection.getresponse()
        self.status = self._response.status
        self.headers = {k.lower(): v for k, v in self._response.getheaders()}
        self.data = b""

    def until(self, mark: bytes) -> Self:
        """Read until `mark` has come."""
        while mark not in self.data:
            piece = self._response.read1(65_536)
            assert piece, f"the stream ended without {mark!r}: {self.data!r}"
            self.data += piece
        return self

    def rest(self) -> bool:
        """Read to the end; whether the answer was whole (its last chunk came) or broken off."""
        try:
            while piece := self._response.read1(65_536):
                self.data += piece
        except (http.client.IncompleteRead, ConnectionError):
            return False
        finally:
            self._connection.close()
        return True


def _sent(
    port: int,
    key: str | None,
    body: Mapping[str, Any] | bytes | None,
    path: str,
    method: str,
    headers: Mapping[str, str] | None,
) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    told = dict(headers or {})
    if key is not None:
        told["authorization"] = f"Bearer {key}"
    payload = None
    if method == "POST":
        payload = body if isinstance(body, bytes) else json.dumps(body or a_chat()).encode()
        told["content-type"] = "application/json"
    connection.request(method, path, body=payload, headers=told)
    return connection


def is_open(port: int) -> bool:
    """Whether anybody accepts connections there."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def eventually(what: Callable[[], bool], seconds: float = 15.0) -> bool:
    """Whether it comes true in time; looks often."""
    until = time.monotonic() + seconds
    while not (true := what()) and time.monotonic() < until:
        time.sleep(0.02)
    return true

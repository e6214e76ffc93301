"""A model server of a test's own, in its process: remembers every request, and pauses in the middle of an answer.

Always 10 prompt and 5 completion tokens, so that a price can be worked out by hand.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
WORDS = ("Once", " upon", " a", " time", " there")
PATIENCE_S = 60.0


@dataclass(frozen=True)
class Seen:
    """One request as it arrived."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    raw_head: str


@dataclass
class Upstream:
    """`go`: clear it, and every answer stops in its middle until it is set. `headers`: added to every answer.

    words: what it says. status, location: an answer that is not 200.
    """

    port: int = 0
    seen: list[Seen] = field(default_factory=list)
    go: threading.Event = field(default_factory=threading.Event)
    headers: dict[str, str] = field(default_factory=dict)
    words: tuple[str, ...] = WORDS
    status: int = 200
    waiting: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def pause(self) -> None:
        """An answer is in its middle."""
        with self._lock:
            self.waiting += 1
        self.go.wait(PATIENCE_S)
        with self._lock:
            self.waiting -= 1


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    upstream: Upstream

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.upstream.seen.append(Seen(self.path, headers, body, str(self.headers)))
        with contextlib.suppress(ConnectionError):
            if body.get("stream"):
                self.stream(body)
            else:
                self.whole(body)

    def whole(self, body: dict[str, Any]) -> None:
        self.upstream.pause()
        message = {"role": "assistant", "content": "".join(self.upstream.words)}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        answer = {"id": "x", "object": "chat.completion", "created": 1, "model": body["model"], "choices": choices}
        told = json.dumps({**answer, "usage": USAGE}).encode()
        self.head("application/json", ("content-length", str(len(told))))
        self.wfile.write(told)

    def stream(self, body: dict[str, Any]) -> None:
        self.head("text/event-stream", ("transfer-encoding", "chunked"))
        for word in self.upstream.words:
            self.event({"choices": [{"index": 0, "delta": {"content": word}, "finish_reason": None}]})
        self.upstream.pause()
        self.event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        if body.get("stream_options", {}).get("include_usage"):
            self.event({"choices": [], "usage": USAGE})
        self.chunk(b"data: [DONE]\n\n")
        self.chunk(b"")

    def head(self, content_type: str, framing: tuple[str, str]) -> None:
        self.send_response(self.upstream.status)
        for name, value in (("content-type", content_type), framing, *self.upstream.headers.items()):
            self.send_header(name, value)
        self.end_headers()

    def event(self, fields: dict[str, Any]) -> None:
        told = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", **fields}
        self.chunk(b"data: " + json.dumps(told).encode() + b"\n\n")

    def chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def handle_error(self, *_: object) -> None:
        """A gateway that is killed resets its connections; that is what the test is about."""


@contextlib.contextmanager
def upstream() -> Iterator[Upstream]:
    """A running one, not paused."""
    state = Upstream()
    state.go.set()
    server = Server(("127.0.0.1", 0), type("Bound", (Handler,), {"upstream": state}))
    state.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        state.go.set()
        server.shutdown()
        server.server_close()
        thread.join()

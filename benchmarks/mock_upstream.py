"""A mock upstream that is never the bottleneck: raw asyncio.Protocol, uvloop, canned bytes, streams at a paced rate.

    python -m benchmarks.mock_upstream --port 0        # prints {"port": ...} when it listens

Any POST with `"stream":true` in its body gets 40 events of about 200 bytes at 20 a second, a usage event and [DONE];
any other gets a JSON answer of 0.95 KB. Each event carries the time it was written, so that the load generator can
tell its delay.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import re
import socket
import time
from typing import cast

import uvloop

from benchmarks.wire import HEAD_END, LAST_CHUNK, body_length, chunk

BACKLOG = 4096
EVENTS = 40
EVENTS_PER_SECOND = 20.0
STREAM_ASKED = re.compile(rb'"stream": ?true')
WORDS = "The gateway measures what each answer costs in dollars, in joules and in grams, before it is sent. " * 7
ANSWER = json.dumps(
    {
        "id": "chatcmpl-benchmark",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "mock",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": WORDS}, "finish_reason": "stop", "logprobs": None}
        ],
        "usage": {"prompt_tokens": 60, "completion_tokens": 147, "total_tokens": 207},
    },
    separators=(",", ":"),
).encode()
JSON_ANSWER = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(ANSWER)
) + ANSWER
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
EVENT = (
    b'data: {"id":"chatcmpl-benchmark","object":"chat.completion.chunk","created":1700000000,"model":"mock",'
    b'"choices":[{"index":0,"delta":{"content":"t%019d of one"},"logprobs":null,"finish_reason":null}]}\n\n'
)
LAST = (
    b'data: {"id":"chatcmpl-benchmark","object":"chat.completion.chunk","created":1700000000,"model":"mock",'
    b'"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
)
USAGE = (
    b'data: {"id":"chatcmpl-benchmark","object":"chat.completion.chunk","created":1700000000,"model":"mock",'
    b'"choices":[],"usage":{"prompt_tokens":60,"completion_tokens":320,"total_tokens":380}}\n\n'
)
END = chunk(LAST) + chunk(USAGE) + chunk(b"data: [DONE]\n\n") + LAST_CHUNK


class Upstream(asyncio.Protocol):
    """One connection; requests one after another."""

    def __init__(self, events: int, interval_s: float):
        self._events = events
        self._interval_s = interval_s
        self._loop = asyncio.get_running_loop()
        self._buffer = b""
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but ancestry
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        while self._buffer:
            end = self._buffer.find(HEAD_END)
            if end < 0:
                return
            whole = end + len(HEAD_END) + (body_length(self._buffer[:end]) or 0)
            if len(self._buffer) < whole:
                return
            request, self._buffer = self._buffer[:whole], self._buffer[whole:]
            self._answer(request)

    def _answer(self, request: bytes) -> None:
        if STREAM_ASKED.search(request) is None:
            self._transport.write(JSON_ANSWER)
            return
        self._transport.write(STREAM_HEAD)
        self._write_event(0, self._loop.time())

    def _write_event(self, number: int, due: float) -> None:
        if number == self._events:
            self._transport.write(END)
            return
        self._transport.write(chunk(EVENT % time.monotonic_ns()))
        due += self._interval_s  # from when it was due, not from now: the rate holds under load
        self._timer = self._loop.call_at(due, self._write_event, number + 1, due)


async def serve(port: int, events: int, rate: float) -> None:
    """Until cancelled."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Upstream(events, 1 / rate), "127.0.0.1", port, backlog=BACKLOG)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    await server.serve_forever()


def main() -> None:
    """Parse and serve."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one, and says which")
    parser.add_argument("--events", type=int, default=EVENTS, help="events of a stream")
    parser.add_argument("--rate", type=float, default=EVENTS_PER_SECOND, help="events a second of each stream")
    asked = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(serve(asked.port, asked.events, asked.rate))


if __name__ == "__main__":
    main()

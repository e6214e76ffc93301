"""Asking an upstream, for the tests of all its parts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.backends.answers import HttpAnswer
from gateway.backends.http import HttpUpstream, HttpUpstreams
from gateway.domain.catalog import Backend, Timeouts
from gateway.domain.faults import BackendFailed

PROMPT = b'{"prompt":"secret prompt"}'
OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
SHORT = Timeouts(connect_ms=500, first_byte_ms=150, idle_ms=150, total_ms=5_000)
PATIENT = Timeouts(connect_ms=500, first_byte_ms=5_000, idle_ms=5_000, total_ms=5_000)


@asynccontextmanager
async def an_upstream(url: str, **fields: Any) -> AsyncIterator[HttpUpstream]:
    upstreams = HttpUpstreams()
    upstreams.apply({"gpu-a": Backend("gpu-a", url, api_key="upstream-key", **fields)})
    try:
        yield upstreams.get("gpu-a")
    finally:
        await upstreams.close()


async def sent(
    upstream: HttpUpstream,
    timeouts: Timeouts = PATIENT,
    stream: bool = False,
    *,
    body: bytes = PROMPT,
    traceparent: str | None = "00-a-b-01",
    request_id: str = "r-1",
) -> HttpAnswer:
    return await upstream.send(
        "/chat/completions", body, stream=stream, timeouts=timeouts, traceparent=traceparent, request_id=request_id
    )


async def whole(upstream: HttpUpstream, timeouts: Timeouts = PATIENT, limit: int = 1 << 20) -> bytes:
    answer = await sent(upstream, timeouts)
    try:
        return await answer.body(limit)
    finally:
        answer.close()


async def failure(upstream: HttpUpstream, timeouts: Timeouts = PATIENT, limit: int = 1 << 20) -> BackendFailed:
    with pytest.raises(BackendFailed) as failed:
        await whole(upstream, timeouts, limit)
    assert upstream.in_flight == 0
    return failed.value

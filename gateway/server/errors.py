"""Refusals as HTTP: the only place that knows status codes, and the shape of an error body.

DESIGN, 'Errors'. The body is OpenAI's, always with its four keys, so that SDKs find `error.code` and `error.param`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import orjson

from gateway.domain.faults import InvalidRequest
from gateway.domain.refusal import Refusal, RefusalCode


@dataclass(frozen=True, slots=True)
class Shape:
    """How one code is answered. waiting_helps: None says nothing about retries, else see `_retry_headers`."""

    status: int
    type: str
    waiting_helps: bool | None = None


_CALLER = "invalid_request_error"
_SHAPES = {
    RefusalCode.INVALID_REQUEST: Shape(400, _CALLER),
    RefusalCode.REQUEST_TOO_LARGE: Shape(413, _CALLER),
    RefusalCode.UNSUPPORTED_ENCODING: Shape(415, _CALLER),
    RefusalCode.REQUEST_TIMEOUT: Shape(408, _CALLER),
    RefusalCode.INVALID_API_KEY: Shape(401, "authentication_error"),
    RefusalCode.MODEL_NOT_ALLOWED: Shape(403, "permission_error"),
    RefusalCode.MODEL_NOT_FOUND: Shape(404, "not_found_error"),
    RefusalCode.NOT_FOUND: Shape(404, "not_found_error"),
    RefusalCode.METHOD_NOT_ALLOWED: Shape(405, _CALLER),
    RefusalCode.BUDGET_EXHAUSTED: Shape(402, "insufficient_quota", waiting_helps=False),
    RefusalCode.RATE_LIMIT_EXCEEDED: Shape(429, "rate_limit_error", waiting_helps=True),
    RefusalCode.NO_BACKEND: Shape(503, "unavailable", waiting_helps=True),
    RefusalCode.NO_BACKEND_MEETS_SLA: Shape(503, "unavailable", waiting_helps=True),
    RefusalCode.LEDGER_UNAVAILABLE: Shape(503, "unavailable", waiting_helps=True),
    RefusalCode.OVERLOADED: Shape(503, "unavailable", waiting_helps=True),
    RefusalCode.UPSTREAM_ERROR: Shape(502, "upstream_error"),
    RefusalCode.UPSTREAM_TIMEOUT: Shape(504, "upstream_error"),
    RefusalCode.INTERNAL_ERROR: Shape(500, "internal_error"),
}
# Faults that have a status of their own in HTTP. An InvalidRequest carries one of these as its code.
_FAULT_STATUS = {
    "request_too_large": 413,
    "unsupported_encoding": 415,
    "request_timeout": 408,
    "http_version_not_supported": 505,
    "expectation_failed": 417,
    "unauthorized": 401,
}
_FAULT_CODES = {code.value: code for code in _SHAPES}


def refusal_of(fault: InvalidRequest) -> Refusal:
    """The refusal an InvalidRequest amounts to."""
    code = _FAULT_CODES.get(fault.code, RefusalCode.INVALID_REQUEST)
    return Refusal(code, fault.message, fault.param, detail_code=fault.code)


def render(refusal: Refusal) -> tuple[int, list[tuple[str, str]], bytes]:
    """Status, headers about authentication and retries, and the body."""
    shape = _SHAPES[refusal.code]
    code = refusal.detail_code or refusal.code.value
    status = _FAULT_STATUS.get(code, shape.status)
    headers = _retry_headers(refusal, shape)
    if refusal.code is RefusalCode.BUDGET_EXHAUSTED:
        status = refusal.budget_status
    elif refusal.code is RefusalCode.INVALID_API_KEY:
        headers.append(("www-authenticate", "Bearer"))
    return status, headers, error_body(refusal.message, shape.type, refusal.param, code)


def error_body(message: str, kind: str, param: str | None, code: str | None) -> bytes:
    """OpenAI's error object: all four keys, unknown ones null."""
    readable = message.encode("utf-8", "replace").decode()  # a lone surrogate of the caller's must not become a 500
    named = None if param is None else param.encode("utf-8", "replace").decode()
    return orjson.dumps({"error": {"message": readable, "type": kind, "param": named, "code": code}})


def _retry_headers(refusal: Refusal, shape: Shape) -> list[tuple[str, str]]:
    """`Retry-After` where waiting helps and we know how long; `x-should-retry: false` where it does not.

    OpenAI's SDKs obey `x-should-retry` first, then retry 408, 409, 429 and 5xx.
    """
    if shape.waiting_helps is None:
        return []
    if not shape.waiting_helps:
        return [("x-should-retry", "false")]
    if refusal.retry_after_s is None and refusal.code is not RefusalCode.RATE_LIMIT_EXCEEDED:
        return [("x-should-retry", "false")]
    return [("retry-after", str(max(1, math.ceil(refusal.retry_after_s or 1.0))))]

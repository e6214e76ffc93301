"""A refusal is a decision, so it is a value. `gateway/server/errors.py` alone gives it a status and a body."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class RefusalCode(StrEnum):
    """Why we did not serve: DESIGN's error table, without its status codes."""

    INVALID_REQUEST = "invalid_request"
    REQUEST_TOO_LARGE = "request_too_large"
    UNSUPPORTED_ENCODING = "unsupported_encoding"
    REQUEST_TIMEOUT = "request_timeout"
    INVALID_API_KEY = "invalid_api_key"
    MODEL_NOT_ALLOWED = "model_not_allowed"
    MODEL_NOT_FOUND = "model_not_found"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    BUDGET_EXHAUSTED = "budget_exhausted"
    RATE_LIMIT_EXCEEDED = "rate_limit_exceeded"
    NO_BACKEND = "no_backend"
    NO_BACKEND_MEETS_SLA = "no_backend_meets_sla"
    LEDGER_UNAVAILABLE = "ledger_unavailable"
    OVERLOADED = "overloaded"
    UPSTREAM_ERROR = "upstream_error"
    UPSTREAM_TIMEOUT = "upstream_timeout"
    INTERNAL_ERROR = "internal_error"


@dataclass(frozen=True, slots=True)
class Refusal:
    """code: which; message: what and the remedy, for a person; param: the field or the budget at fault.

    detail_code: overrides `code` in the body where DESIGN says 'names the fault' (e.g. "invalid_json").
    retry_after_s: seconds until a retry makes sense, None where waiting can not help.
    budget_status: 402, or 429 for keys of stacks that know only that.
    headers: what else the caller is told, e.g. how much of a rate is left.
    """

    code: RefusalCode
    message: str
    param: str | None = None
    detail_code: str | None = None
    retry_after_s: float | None = None
    budget_status: int = 402
    headers: tuple[tuple[str, str], ...] = ()

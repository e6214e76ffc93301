from __future__ import annotations

import json

import pytest

from gateway.domain.faults import InvalidRequest
from gateway.domain.refusal import Refusal, RefusalCode
from gateway.server.errors import refusal_of, render

TABLE = [
    (RefusalCode.INVALID_REQUEST, 400, "invalid_request_error", "invalid_request"),
    (RefusalCode.REQUEST_TOO_LARGE, 413, "invalid_request_error", "request_too_large"),
    (RefusalCode.UNSUPPORTED_ENCODING, 415, "invalid_request_error", "unsupported_encoding"),
    (RefusalCode.REQUEST_TIMEOUT, 408, "invalid_request_error", "request_timeout"),
    (RefusalCode.INVALID_API_KEY, 401, "authentication_error", "invalid_api_key"),
    (RefusalCode.MODEL_NOT_ALLOWED, 403, "permission_error", "model_not_allowed"),
    (RefusalCode.MODEL_NOT_FOUND, 404, "not_found_error", "model_not_found"),
    (RefusalCode.NOT_FOUND, 404, "not_found_error", "not_found"),
    (RefusalCode.METHOD_NOT_ALLOWED, 405, "invalid_request_error", "method_not_allowed"),
    (RefusalCode.BUDGET_EXHAUSTED, 402, "insufficient_quota", "budget_exhausted"),
    (RefusalCode.RATE_LIMIT_EXCEEDED, 429, "rate_limit_error", "rate_limit_exceeded"),
    (RefusalCode.NO_BACKEND, 503, "unavailable", "no_backend"),
    (RefusalCode.NO_BACKEND_MEETS_SLA, 503, "unavailable", "no_backend_meets_sla"),
    (RefusalCode.LEDGER_UNAVAILABLE, 503, "unavailable", "ledger_unavailable"),
    (RefusalCode.OVERLOADED, 503, "unavailable", "overloaded"),
    (RefusalCode.UPSTREAM_ERROR, 502, "upstream_error", "upstream_error"),
    (RefusalCode.UPSTREAM_TIMEOUT, 504, "upstream_error", "upstream_timeout"),
    (RefusalCode.INTERNAL_ERROR, 500, "internal_error", "internal_error"),
]


def test_the_table_has_every_code() -> None:
    assert {row[0] for row in TABLE} == set(RefusalCode)


@pytest.mark.parametrize(("code", "status", "kind", "name"), TABLE)
def test_a_refusal_has_its_status_and_a_body_with_all_four_keys(
    code: RefusalCode, status: int, kind: str, name: str
) -> None:
    rendered, _, body = render(Refusal(code, "Because."))

    assert rendered == status
    assert json.loads(body) == {"error": {"message": "Because.", "type": kind, "param": None, "code": name}}


def test_a_fault_keeps_its_own_code_and_names_the_field() -> None:
    _, _, body = render(Refusal(RefusalCode.INVALID_REQUEST, "Not JSON.", param="messages", detail_code="invalid_json"))

    assert json.loads(body)["error"]["code"] == "invalid_json"
    assert json.loads(body)["error"]["param"] == "messages"


def test_a_spent_budget_is_never_worth_a_retry() -> None:
    _, headers, _ = render(Refusal(RefusalCode.BUDGET_EXHAUSTED, "Spent.", param="support-month", retry_after_s=60))

    assert headers == [("x-should-retry", "false")]


def test_a_key_of_a_stack_that_knows_only_429_gets_429_and_still_no_retry() -> None:
    status, headers, body = render(Refusal(RefusalCode.BUDGET_EXHAUSTED, "Spent.", budget_status=429))

    assert status == 429
    assert headers == [("x-should-retry", "false")]
    assert json.loads(body)["error"]["code"] == "budget_exhausted"


@pytest.mark.parametrize(("seconds", "header"), [(0.2, "1"), (1.0, "1"), (1.01, "2"), (59.9, "60")])
def test_retry_after_is_in_whole_seconds_never_too_early(seconds: float, header: str) -> None:
    _, headers, _ = render(Refusal(RefusalCode.RATE_LIMIT_EXCEEDED, "Slow down.", retry_after_s=seconds))

    assert headers == [("retry-after", header)]


def test_a_503_that_waiting_can_not_help_says_so() -> None:
    _, headers, _ = render(Refusal(RefusalCode.NO_BACKEND, "Nobody serves this."))

    assert headers == [("x-should-retry", "false")]


def test_a_rate_limit_always_names_a_time() -> None:
    _, headers, _ = render(Refusal(RefusalCode.RATE_LIMIT_EXCEEDED, "Slow down."))

    assert headers == [("retry-after", "1")]


@pytest.mark.parametrize(
    ("code", "status"),
    [("invalid_json", 400), ("request_too_large", 413), ("unsupported_encoding", 415), ("request_timeout", 408)],
)
def test_an_invalid_request_has_the_status_its_fault_has_in_http(code: str, status: int) -> None:
    assert render(refusal_of(InvalidRequest("No.", code=code)))[0] == status


def test_a_lone_surrogate_of_the_caller_does_not_break_the_answer() -> None:
    _, _, body = render(Refusal(RefusalCode.INVALID_REQUEST, "bad \ud800", param="\ud800"))

    assert json.loads(body)["error"]["message"] == "bad ?"

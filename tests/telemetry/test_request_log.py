"""One line per request, at its end."""

from __future__ import annotations

import io
import json

from gateway.domain.record import Outcome
from gateway.telemetry.request_log import RequestLog
from tests.support.records import a_record, a_usage, amounts, an_attempt

CANARY = "CANARY7f3a"


def test_the_line_says_who_asked_what_of_whom_and_what_it_cost() -> None:
    stream = io.StringIO()
    record = a_record(
        an_attempt(), request_id="r-7", started_wall_ms=1_795_469_400_000, duration_ms=1_250.04, ttft_ms=210.06,
        usage=a_usage(100, 50), rated=amounts(1_500_000),
    )  # fmt: skip

    RequestLog(stream).tell([record])

    assert json.loads(stream.getvalue()) == {
        "timestamp": "2026-11-23T21:30:01.250Z",
        "level": "info",
        "event": "request",
        "id": "r-7",
        "model": "chat",
        "backend": "cheap",
        "team": "support",
        "outcome": "served",
        "status": 200,
        "ms": 1250.0,
        "ttft_ms": 210.1,
        "input_tokens": 100,
        "output_tokens": 50,
        "usd": 0.0015,
        "attempts": 1,
        "stream": False,
    }


def test_what_is_unknown_is_absent() -> None:
    stream = io.StringIO()

    RequestLog(stream).tell([a_record(outcome=Outcome.BUDGET_DENIED, status=402, error_code="budget_exhausted")])

    line = json.loads(stream.getvalue())
    assert (line["level"], line["code"], line["attempts"]) == ("info", "budget_exhausted", 0)
    assert not {"usd", "backend", "ttft_ms"} & line.keys()


def test_only_what_an_operator_can_mend_is_a_warning() -> None:
    stream = io.StringIO()

    RequestLog(stream).tell([a_record(outcome=outcome) for outcome in (Outcome.INVALID, Outcome.UPSTREAM_FAILED)])

    assert [json.loads(line)["level"] for line in stream.getvalue().splitlines()] == ["info", "warning"]


def test_nothing_a_caller_wrote_gets_into_the_line() -> None:
    stream = io.StringIO()
    record = a_record(
        model=f"tell me {CANARY}", tags={"k": CANARY}, session=CANARY, client_request_id=CANARY, traceparent=CANARY
    )

    RequestLog(stream).tell([record])
    RequestLog(stream, console=True).tell([record])

    assert CANARY not in stream.getvalue()


def test_only_failures_may_be_asked_for() -> None:
    stream = io.StringIO()
    fine, left = a_record(an_attempt()), a_record(an_attempt(), outcome=Outcome.CLIENT_LEFT)
    bad = a_record(an_attempt(), outcome=Outcome.UPSTREAM_FAILED)

    RequestLog(stream, which="failed").tell([fine, left, bad])
    RequestLog(stream, which="none").tell([fine, left, bad])

    assert [json.loads(line)["outcome"] for line in stream.getvalue().splitlines()] == ["upstream_failed"]


def test_people_get_one_readable_line() -> None:
    stream = io.StringIO()

    RequestLog(stream, console=True).tell([a_record(an_attempt(), rated=amounts(1_500_000), usage=a_usage(100, 50))])

    assert stream.getvalue().count("\n") == 1
    assert "chat@cheap" in stream.getvalue()
    assert "$0.001500" in stream.getvalue()


def test_a_stream_that_is_gone_costs_lines_and_nothing_else() -> None:
    stream = io.StringIO()
    log = RequestLog(stream)
    stream.close()

    log.tell([a_record()])

"""One request, one way: what a caller gets, what an upstream sees, what the books say."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import orjson
import pytest

from gateway.domain.catalog import Backend
from gateway.domain.faults import BackendFailed, FailureKind
from gateway.domain.record import AttemptResult, Outcome
from gateway.domain.refusal import RefusalCode
from gateway.domain.tenancy import Identity
from gateway.domain.usage import Basis
from tests.pipeline.fakes import (
    FakeReply,
    FakeUpstream,
    House,
    Script,
    a_budget,
    a_member,
    a_snapshot,
    a_stream,
    an_answer,
)

REFUSED = BackendFailed(FailureKind.CONNECT, "connection refused", sent=False)
RESET = BackendFailed(FailureKind.RESET, "connection reset", sent=True)


async def test_a_served_answer_is_priced_from_the_backends_own_usage() -> None:
    house = House(a_snapshot(a_member("cheap", nanos=10)), cheap=FakeUpstream(an_answer()))

    reply = await house.ask({"max_tokens": 5})

    # 10 input + 2 output tokens at 10 nano-dollars, 1 millijoule and 0.1 microgram each
    assert reply.status == 200
    assert reply.headers["x-joulegate-cost-usd"] == "0.00000012"
    assert reply.headers["x-joulegate-energy-joules"] == "0.012"
    usage = orjson.loads(reply.body)["usage"]
    assert usage["prompt_tokens"] == 10
    assert usage["joulegate"]["cost_usd_nanos"] == 120
    assert house.record.outcome is Outcome.SERVED
    assert house.record.rated is not None
    assert house.record.rated.usd_nanos == 120
    assert house.record.usage.basis is Basis.PROVIDER
    assert house.signals.seen == house.recorder.records


async def test_an_answer_without_usage_is_counted_and_the_record_says_so() -> None:
    house = House(a_snapshot(a_member("cheap")), cheap=FakeUpstream(an_answer("four five six", usage={})))

    reply = await house.ask({})

    # "one two three" counts 3, its role 1, 3 for a message and 3 for the reply's start; three words came back
    assert house.record.usage.basis is Basis.COUNTED
    assert house.record.usage.input_tokens == 10
    assert house.record.usage.output_tokens == 3
    assert reply.headers["x-joulegate-cost-usd"] == "0.00000013"


@pytest.mark.parametrize(
    "hostile",
    [
        {"prompt_tokens": -5, "completion_tokens": 2},
        {"prompt_tokens": 10, "completion_tokens": 2.5},
        {"prompt_tokens": 9_999_999, "completion_tokens": 2},
        {"prompt_tokens": 10, "completion_tokens": 2_000_000},
        {"prompt_tokens": True, "completion_tokens": 2},
    ],
)
async def test_usage_that_can_not_be_true_is_replaced_by_our_own_count(hostile: dict[str, object]) -> None:
    house = House(a_snapshot(a_member("cheap")), cheap=FakeUpstream(an_answer(usage=hostile)))

    await house.ask({"max_tokens": 5})

    assert house.record.usage.basis is Basis.COUNTED
    assert house.record.usage.output_tokens == 2


async def test_the_cheapest_serves_and_everyone_else_has_a_reason() -> None:
    house = House(
        a_snapshot(a_member("dear", 50), a_member("cheap", 10)),
        dear=FakeUpstream(an_answer()),
        cheap=FakeUpstream(an_answer()),
    )

    reply = await house.ask({})

    assert reply.headers["x-joulegate-backend"] == "cheap"
    assert house.record.candidates[0] == "cheap/chat"
    assert {*house.record.candidates, *house.record.passed_over} == {"cheap/chat", "dear/chat"}
    # the dearest would have taken 12 tokens at 50
    assert house.record.baseline_dearest_usd_nanos == 600


async def test_a_402_means_that_no_upstream_saw_a_byte() -> None:
    upstream = FakeUpstream(an_answer())
    house = House(a_snapshot(a_member("cheap"), budgets=[a_budget(usd_nanos=50)]), cheap=upstream)

    reply = await house.ask({"max_tokens": 5})

    # 10 counted + 5 asked for = 150 nano-dollars against a budget of 50
    assert reply.refusal is not None
    assert reply.refusal.code is RefusalCode.BUDGET_EXHAUSTED
    assert reply.refusal.param == "small"
    assert upstream.asked == []
    assert house.record.outcome is Outcome.BUDGET_DENIED
    assert house.record.status == 402
    assert house.record.rated is None


async def test_a_candidate_that_does_not_fit_the_budget_gives_way_to_one_that_does() -> None:
    steady, free = FakeUpstream(an_answer()), FakeUpstream(an_answer())
    members = a_member("near", 10, tier="default"), a_member("free", 0)
    house = House(replace(a_snapshot(*members, budgets=[a_budget(usd_nanos=50)])), near=steady, free=free)

    reply = await house.ask({"max_tokens": 5})

    assert reply.status == 200
    assert reply.headers["x-joulegate-backend"] == "free"


async def test_when_the_first_backend_refuses_the_connection_the_next_takes_over() -> None:
    house = House(
        a_snapshot(a_member("cheap", 10), a_member("dear", 50)),
        cheap=FakeUpstream(Script(refuses=REFUSED)),
        dear=FakeUpstream(an_answer()),
    )

    reply = await house.ask({})

    assert reply.status == 200
    assert reply.headers["x-joulegate-attempts"] == "2"
    first, second = house.record.attempts
    assert (first.result, first.rated) == (AttemptResult.UNSENT, None)
    assert (second.result, second.backend) == (AttemptResult.SERVED, "dear")
    assert house.record.rated == second.rated


async def test_a_lost_attempt_that_may_have_been_billed_is_booked_and_the_caller_is_told_the_sum() -> None:
    house = House(
        a_snapshot(a_member("cheap", 10), a_member("dear", 50)),
        cheap=FakeUpstream(Script(refuses=RESET)),
        dear=FakeUpstream(an_answer()),
    )

    reply = await house.ask({})

    # the lost one: 10 counted input tokens at 10; the served one: 12 tokens at 50
    lost, served = house.record.attempts
    assert (lost.result, lost.usage.basis) == (AttemptResult.UNKNOWN, Basis.UNKNOWN)
    assert lost.rated is not None and lost.rated.usd_nanos == 100
    assert served.rated is not None and served.rated.usd_nanos == 600
    assert reply.headers["x-joulegate-cost-usd"] == "0.0000007"
    assert house.record.rated is not None
    assert (house.record.rated.usd_nanos, house.record.rated.requests) == (700, 1)


async def test_a_backend_that_forbids_it_is_not_asked_twice() -> None:
    once = Backend("cheap", "http://cheap/v1", resend_after_send=False)
    dear = FakeUpstream(an_answer())
    house = House(
        a_snapshot(a_member("cheap", 10), a_member("dear", 50), backends=[once]),
        cheap=FakeUpstream(Script(refuses=RESET)),
        dear=dear,
    )

    reply = await house.ask({})

    assert reply.refusal is not None
    assert reply.refusal.code is RefusalCode.UPSTREAM_ERROR
    assert dear.asked == []


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_an_overloaded_or_broken_backend_is_not_billed_and_the_next_is_tried(status: int) -> None:
    house = House(
        a_snapshot(a_member("cheap", 10), a_member("dear", 50)),
        cheap=FakeUpstream(Script(status=status, chunks=[b"{}"])),
        dear=FakeUpstream(an_answer()),
    )

    reply = await house.ask({})

    assert reply.status == 200
    assert house.record.attempts[0].result is AttemptResult.REJECTED_UNBILLED
    assert house.record.rated is not None
    assert house.record.rated.usd_nanos == 600


async def test_the_callers_own_4xx_passes_verbatim_and_costs_nothing() -> None:
    verbatim = b'{"error":{"message":"context too long","type":"invalid_request_error","param":null,"code":null}}'
    dear = FakeUpstream(an_answer())
    house = House(
        a_snapshot(a_member("cheap", 10), a_member("dear", 50)),
        cheap=FakeUpstream(Script(status=400, chunks=[verbatim])),
        dear=dear,
    )

    reply = await house.ask({})

    assert (reply.status, reply.body) == (400, verbatim)
    assert reply.headers["x-joulegate-error-source"] == "upstream"
    assert dear.asked == []
    assert house.record.outcome is Outcome.UPSTREAM_REJECTED
    assert house.record.rated is not None
    assert house.record.rated.usd_nanos == 0


async def test_an_upstreams_401_is_our_operators_fault_and_never_reaches_the_caller_as_401() -> None:
    house = House(a_snapshot(a_member("cheap")), cheap=FakeUpstream(Script(status=401, chunks=[b"{}"])))

    reply = await house.ask({})

    assert reply.refusal is not None
    assert reply.refusal.code is RefusalCode.UPSTREAM_ERROR
    assert "credentials" in reply.refusal.message


async def test_a_stream_passes_as_it_came_and_is_priced_from_its_usage_event() -> None:
    house = House(a_snapshot(a_member("cheap")), cheap=FakeUpstream(a_stream("four", "five")))

    reply = await house.ask({"stream": True})

    assert reply.body == b"".join(a_stream("four", "five", usage=False).chunks)
    assert reply.ended
    assert "x-joulegate-estimated-cost-usd" in reply.headers
    assert house.upstreams.get("cheap").asked[0]["stream_options"] == {"include_usage": True}
    assert house.record.rated is not None
    assert house.record.rated.usd_nanos == 120


async def test_a_caller_that_asks_for_usage_finds_the_price_on_the_usage_event() -> None:
    house = House(a_snapshot(a_member("cheap")), cheap=FakeUpstream(a_stream("four", "five")))

    reply = await house.ask({"stream": True, "stream_options": {"include_usage": True}})

    usage = orjson.loads(reply.body.split(b"\n\n")[2].removeprefix(b"data: "))["usage"]
    assert usage["joulegate"]["cost_usd_nanos"] == 120


async def test_a_client_that_leaves_mid_stream_is_charged_for_what_was_streamed() -> None:
    upstream = FakeUpstream(a_stream("four", "five", "six", usage=False, hangs=True))
    house = House(a_snapshot(a_member("cheap")), cheap=upstream)

    await house.ask({"stream": True}, FakeReply(leaves_after=1))

    # 10 input tokens, and the one word that went down before it left
    assert upstream.answers[0].closed
    assert house.record.outcome is Outcome.CLIENT_LEFT
    assert house.record.attempts[0].result is AttemptResult.CANCELLED
    assert house.record.usage.output_tokens == 1
    assert house.record.rated is not None
    assert house.record.rated.usd_nanos == 110
    assert house.record.attempts[0].ledger == "settled"


async def test_a_cancelled_handler_settles_all_the_same() -> None:
    upstream = FakeUpstream(a_stream("four", usage=False, done=False, hangs=True))
    house = House(a_snapshot(a_member("cheap")), cheap=upstream)
    task = asyncio.create_task(house.ask({"stream": True}))
    while not upstream.answers:
        await asyncio.sleep(0)
    for _ in range(10):
        await asyncio.sleep(0)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await house.aftercare.drain(5)

    assert house.record.outcome is Outcome.CLIENT_LEFT
    assert house.record.attempts[0].ledger == "settled"
    assert house.record.rated is not None
    assert house.record.rated.usd_nanos == 110


async def test_a_backend_that_bills_in_full_is_read_to_its_usage_after_the_caller_left() -> None:
    bills = Backend("cheap", "http://cheap/v1", on_disconnect="drain")
    upstream = FakeUpstream(a_stream("four", "five", "six"))
    house = House(a_snapshot(a_member("cheap"), backends=[bills]), cheap=upstream)

    await house.ask({"stream": True}, FakeReply(leaves_after=1))

    # 10 input and all 3 output tokens, as the backend bills them
    assert upstream.answers[0].closed
    assert house.record.outcome is Outcome.CLIENT_LEFT
    assert house.record.usage.basis is Basis.PROVIDER
    assert house.record.rated is not None
    assert house.record.rated.usd_nanos == 130
    assert house.record.attempts[0].ledger == "settled"


async def test_a_stream_that_breaks_after_its_first_byte_is_broken_off_and_never_spliced() -> None:
    dear = FakeUpstream(an_answer())
    house = House(
        a_snapshot(a_member("cheap", 10), a_member("dear", 50)),
        cheap=FakeUpstream(a_stream("four", usage=False, done=False, breaks=RESET)),
        dear=dear,
    )

    reply = await house.ask({"stream": True})

    assert reply.aborted
    assert dear.asked == []
    assert house.record.outcome is Outcome.INCOMPLETE
    assert house.record.attempts[0].result is AttemptResult.BROKEN
    assert house.record.usage.output_tokens == 1


async def test_a_stream_that_breaks_before_its_first_byte_goes_to_the_next_candidate() -> None:
    house = House(
        a_snapshot(a_member("cheap", 10), a_member("dear", 50)),
        cheap=FakeUpstream(a_stream(usage=False, done=False, breaks=RESET)),
        dear=FakeUpstream(a_stream("four")),
    )

    reply = await house.ask({"stream": True})

    assert reply.ended
    assert reply.headers["x-joulegate-backend"] == "dear"


async def test_a_stream_that_ends_without_its_terminator_is_incomplete() -> None:
    house = House(a_snapshot(a_member("cheap")), cheap=FakeUpstream(a_stream("four", usage=False, done=False)))

    reply = await house.ask({"stream": True})

    assert reply.aborted
    assert house.record.outcome is Outcome.INCOMPLETE


async def test_a_model_the_key_may_not_use_is_refused_before_anything_is_counted() -> None:
    upstream = FakeUpstream(an_answer())
    house = House(a_snapshot(a_member("cheap")), cheap=upstream)

    reply = await house.ask({}, identity=Identity(key_id="k2", team="t", models=frozenset({"other"})))

    assert reply.refusal is not None
    assert reply.refusal.code is RefusalCode.MODEL_NOT_ALLOWED
    assert house.record.outcome is Outcome.NOT_ALLOWED


async def test_every_refusal_with_a_valid_key_ends_in_one_record() -> None:
    house = House(a_snapshot(a_member("cheap")), cheap=FakeUpstream(an_answer()))

    await house.ask({"model": "nobody-serves-this"})
    await house.ask({"messages": "not a list"})
    await house.ask({}, sla_class="no-such-class")

    assert [record.outcome for record in house.recorder.records] == [
        Outcome.NOT_ALLOWED,
        Outcome.INVALID,
        Outcome.INVALID,
    ]
    assert {record.model for record in house.recorder.records} == {"unknown", "", "chat"}


async def test_requests_are_refused_while_records_can_not_be_written() -> None:
    upstream = FakeUpstream(an_answer())
    house = House(a_snapshot(a_member("cheap")), cheap=upstream)
    house.recorder.ok = False

    reply = await house.ask({})

    assert reply.refusal is not None
    assert reply.refusal.code is RefusalCode.LEDGER_UNAVAILABLE
    assert upstream.asked == []


async def test_a_session_carries_its_running_total() -> None:
    house = House(a_snapshot(a_member("cheap")), cheap=FakeUpstream(an_answer()))

    first = await house.ask({}, session="talk-1")
    second = await house.ask({}, session="talk-1")

    assert first.headers["x-joulegate-session-cost-usd"] == "0.00000012"
    assert second.headers["x-joulegate-session-cost-usd"] == "0.00000024"


async def test_a_failed_attempt_says_which_kind_of_failure_it_was() -> None:
    house = House(
        a_snapshot(a_member("cheap", 10), a_member("dear", 50)),
        cheap=FakeUpstream(Script(status=503, chunks=[b"{}"])),
        dear=FakeUpstream(an_answer()),
    )

    await house.ask({})

    failed, served = house.record.attempts
    assert (failed.error, failed.error_detail) == (FailureKind.OVERLOADED, "it answered 503")
    assert served.error is None


async def test_a_key_that_may_not_see_backends_does_not_learn_their_names_from_errors() -> None:
    blind = Identity(key_id="k1", team="support", expose=frozenset({"cost"}))
    house = House(a_snapshot(a_member("secret-gpu")), **{"secret-gpu": FakeUpstream(Script(refuses=REFUSED))})

    failed = await house.ask({}, identity=blind)
    refused = await house.ask(
        {"tools": [{"type": "function", "function": {"name": "f"}}], "modalities": ["audio"]}, identity=blind
    )

    for reply in (failed, refused):
        assert reply.refusal is not None
        assert "secret-gpu" not in reply.refusal.message


@pytest.mark.parametrize("asks_for_usage", [True, False])
async def test_a_client_that_hangs_up_on_done_was_served_and_pays_what_the_backend_said(asks_for_usage: bool) -> None:
    upstream = FakeUpstream(a_stream("four", "five", hangs=True))
    house = House(a_snapshot(a_member("cheap")), cheap=upstream)
    options = {"include_usage": asks_for_usage}

    await house.ask({"stream": True, "stream_options": options}, FakeReply(leaves_at=b"[DONE]"))

    assert house.record.outcome is Outcome.SERVED
    assert house.record.usage.basis is Basis.PROVIDER
    assert house.record.rated is not None
    assert house.record.rated.usd_nanos == 120


@pytest.mark.parametrize("kind", [FailureKind.TIMEOUT, FailureKind.CONNECT])
async def test_a_caller_whose_own_deadline_passes_can_not_close_a_backend_for_the_others(kind: FailureKind) -> None:
    late = BackendFailed(kind, "no answer in time", sent=kind is FailureKind.TIMEOUT)
    cheap = FakeUpstream(*[Script(refuses=late)] * 20, an_answer())
    house = House(a_snapshot(a_member("cheap")), cheap=cheap)

    for _ in range(20):
        refused = await house.ask({}, deadline_ms=5)
        assert refused.refusal is not None
        assert refused.refusal.code is RefusalCode.UPSTREAM_TIMEOUT
        assert refused.refusal.param == "x-joulegate-deadline-ms"
    reply = await house.ask({})

    assert reply.status == 200
    assert house.recorder.records[0].attempts[0].error is None


async def test_a_timeout_before_the_deadline_is_the_backends_own() -> None:
    late = BackendFailed(FailureKind.TIMEOUT, "no answer in time", sent=True)
    house = House(a_snapshot(a_member("cheap")), cheap=FakeUpstream(Script(refuses=late)))

    await house.ask({}, deadline_ms=60_000)

    assert house.record.attempts[0].error is FailureKind.TIMEOUT


async def test_an_upstreams_404_is_our_configurations_fault_and_the_next_is_tried() -> None:
    house = House(
        a_snapshot(a_member("cheap", 10), a_member("dear", 50)),
        cheap=FakeUpstream(Script(status=404, chunks=[b""])),
        dear=FakeUpstream(an_answer()),
    )

    reply = await house.ask({})

    assert reply.status == 200
    assert reply.headers["x-joulegate-backend"] == "dear"

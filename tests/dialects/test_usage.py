from __future__ import annotations

import json

import pytest

from gateway.dialects import openai
from gateway.dialects.usage import read_usage
from gateway.domain.bill import Bill
from gateway.domain.call import CallKind
from gateway.domain.faults import BackendFailed
from gateway.domain.usage import Basis, TokenUsage

FULL = {
    "prompt_tokens": 100,
    "completion_tokens": 20,
    "total_tokens": 120,
    "prompt_tokens_details": {"cached_tokens": 64, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 5},
}
BILL = Bill(
    backend="gpu-a",
    usd_nanos=1_500,
    energy_mj=2_500,
    energy_boundary="facility",
    energy_tier="C",
    carbon_ug=300,
    session_usd_nanos=9_000_000,
)


def test_cached_and_reasoning_tokens_are_parts_not_additions():
    assert read_usage(CallKind.CHAT, FULL) == TokenUsage(100, 64, 0, 20, 5, Basis.PROVIDER)


def test_null_details_are_no_details():
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "prompt_tokens_details": None}

    assert read_usage(CallKind.CHAT, usage) == TokenUsage(1, 0, 0, 2, 0, Basis.PROVIDER)


def test_reasoning_beside_the_completion_is_added_where_the_total_says_so():
    usage = {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "total_tokens": 315,
        "completion_tokens_details": {"reasoning_tokens": 300},
    }

    assert read_usage(CallKind.CHAT, usage) == TokenUsage(10, 0, 0, 305, 300, Basis.PROVIDER)


def test_an_embedding_needs_no_completion_tokens_but_a_chat_does():
    usage = {"prompt_tokens": 8, "total_tokens": 8}

    assert read_usage(CallKind.EMBEDDING, usage) == TokenUsage(8, basis=Basis.PROVIDER)
    assert read_usage(CallKind.CHAT, usage) is None


@pytest.mark.parametrize("value", [-1, 1.0, True, "1", 2**31 + 1, [], {}])
@pytest.mark.parametrize("field", ["prompt_tokens", "completion_tokens"])
def test_one_impossible_figure_spoils_the_whole(field, value):
    assert read_usage(CallKind.CHAT, {"prompt_tokens": 1, "completion_tokens": 1, field: value}) is None


@pytest.mark.parametrize(
    "details",
    [
        {"prompt_tokens_details": {"cached_tokens": 101}},
        {"prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 60}},
        {"prompt_tokens_details": {"cached_tokens": -1}},
        {"prompt_tokens_details": 5},
        {"completion_tokens_details": {"reasoning_tokens": 21}},
        {"completion_tokens_details": []},
    ],
)
def test_parts_larger_than_their_whole_spoil_it_too(details):
    assert read_usage(CallKind.CHAT, {**FULL, **details}) is None


@pytest.mark.parametrize("usage", [None, [], "x", 5])
def test_what_is_no_object_is_no_usage(usage):
    assert read_usage(CallKind.CHAT, usage) is None


def test_an_answer_is_priced_in_its_usage_and_keeps_every_other_byte():
    body = (
        b'{ "id":"1", "seed": 18446744073709551616, "x": 1.10,'
        b' "choices":[{"message":{"content":"caf\\u00e9"}}], "usage": ' + json.dumps(FULL).encode() + b' , "z":1e2}'
    )
    facts = openai.read_answer(CallKind.CHAT, body)

    priced = openai.price_answer(facts, facts.usage or TokenUsage(), BILL)

    before, after = body.split(json.dumps(FULL).encode())
    assert priced.startswith(before)
    assert priced.endswith(after)
    assert json.loads(priced)["usage"] == FULL | {
        "cost": 0.0000015,
        "joulegate": {
            "backend": "gpu-a",
            "cost_usd": 0.0000015,
            "cost_usd_nanos": 1_500,
            "energy_joules": 2.5,
            "energy_boundary": "facility",
            "energy_tier": "C",
            "carbon_grams": 0.0003,
            "session_cost_usd": 0.009,
        },
    }


def test_an_unknown_figure_is_absent_and_a_zero_one_is_zero():
    facts = openai.read_answer(CallKind.CHAT, json.dumps({"choices": [], "usage": FULL}).encode())

    unknown = json.loads(openai.price_answer(facts, TokenUsage(basis=Basis.PROVIDER), Bill()))["usage"]
    zero = json.loads(openai.price_answer(facts, TokenUsage(basis=Basis.PROVIDER), Bill(usd_nanos=0)))["usage"]

    assert unknown == FULL
    assert zero["cost"] == 0
    assert zero["joulegate"] == {"cost_usd": 0, "cost_usd_nanos": 0}


def test_an_answer_whose_caller_may_see_nothing_passes_as_it_came():
    body = b'{ "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2} }'
    facts = openai.read_answer(CallKind.CHAT, body)

    assert openai.price_answer(facts, facts.usage or TokenUsage(), Bill()) is body


@pytest.mark.parametrize("reported", [{}, {"usage": None}, {"usage": {"prompt_tokens": -1}}])
def test_an_answer_without_sane_usage_gets_the_counted_one_marked_as_such(reported):
    facts = openai.read_answer(CallKind.CHAT, json.dumps({"choices": [], **reported}).encode())
    counted = TokenUsage(7, 0, 0, 2, 0, Basis.COUNTED)

    usage = json.loads(openai.price_answer(facts, counted, Bill(usd_nanos=5)))["usage"]

    assert facts.usage is None
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (7, 2, 9)
    assert usage["joulegate"]["basis"] == "counted"


def test_a_second_usage_key_deeper_down_is_not_mistaken_for_it():
    body = json.dumps({"choices": [{"usage": {"prompt_tokens": 1}}], "usage": FULL}).encode()
    facts = openai.read_answer(CallKind.CHAT, body)

    priced = json.loads(openai.price_answer(facts, facts.usage or TokenUsage(), Bill(usd_nanos=5)))

    assert priced["choices"] == [{"usage": {"prompt_tokens": 1}}]
    assert priced["usage"]["cost"] == 5e-9


def test_the_text_of_every_choice_is_there_to_be_counted():
    call = {"function": {"name": "f", "arguments": "{}"}}
    facts = openai.read_answer(
        CallKind.CHAT,
        json.dumps(
            {
                "choices": [
                    {"message": {"content": "Hi", "reasoning_content": "hm ", "tool_calls": [call]}},
                    {"text": "old"},
                ]
            }
        ).encode(),
    )

    assert facts.output_texts == ("hm Hif{}", "old")


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"error":{"message":"boom"}}', b'{"choices":['])
def test_what_is_no_answer_is_the_backends_fault(body):
    with pytest.raises(BackendFailed) as failed:
        openai.read_answer(CallKind.CHAT, body)

    assert failed.value.sent


def test_an_error_has_openais_shape():
    assert json.loads(openai.error_body("no", "invalid_request_error", "n", "invalid_value")) == {
        "error": {"message": "no", "type": "invalid_request_error", "param": "n", "code": "invalid_value"}
    }

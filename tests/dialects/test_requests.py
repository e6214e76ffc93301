from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.dialects import openai
from gateway.domain.call import CallKind, CountedText, ModelCall
from gateway.domain.catalog import Limits, Member
from gateway.domain.faults import InvalidRequest
from gateway.domain.profile import Rates

LIMITS = Limits()
RATES = Rates("p", "1", (), None, 0, None, None, 0, "E", "facility", 1.0, None)
PICTURE = {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "low"}}


def a_chat(**fields: Any) -> dict[str, Any]:
    return {"model": "chat", "messages": [{"role": "user", "content": "Hi"}], **fields}


def parsed(body: dict[str, Any], kind: CallKind = CallKind.CHAT, limits: Limits = LIMITS) -> ModelCall:
    return openai.parse(kind, json.dumps(body).encode(), limits)


def refused(body: bytes | dict[str, Any], kind: CallKind = CallKind.CHAT, limits: Limits = LIMITS) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as fault:
        openai.parse(kind, body if isinstance(body, bytes) else json.dumps(body).encode(), limits)
    return fault.value


def a_member(**fields: Any) -> Member:
    return Member("gpu-a/llama", "gpu-a", "meta/llama", RATES, **fields)


def test_a_chat_is_read_as_far_as_we_act_on_it():
    call = parsed(a_chat(stream=True, stream_options={"include_usage": True}, max_tokens=5, n=2, temperature=0.1))

    assert (call.model, call.stream, call.wants_usage) == ("chat", True, True)
    assert (call.output_tokens_max, call.choices) == (5, 2)
    assert call.texts == (CountedText("Hi", 4),)  # 3 a message, 1 for the role
    assert call.fixed_tokens == 3
    assert call.needs == frozenset()
    assert call.body["temperature"] == 0.1


def test_names_tool_calls_and_schemas_are_counted_as_texts_of_their_own():
    call = parsed(
        a_chat(
            messages=[
                {
                    "role": "user",
                    "name": "bob",
                    "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
                },
                {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]},
            ],
            tools=[{"type": "function", "function": {"name": "f"}}],
            response_format={"type": "json_schema", "json_schema": {"name": "s"}},
        )
    )

    assert call.texts == (
        CountedText("ab", 4),
        CountedText("bob", 1),
        CountedText("", 4),
        CountedText("f{}", 3),
        CountedText('{"type":"function","function":{"name":"f"}}'),
        CountedText('{"name":"s"}'),
    )
    assert call.needs == {"tools", "json"}


def test_pictures_and_sound_are_counted_by_rule_and_become_needs():
    sound = {"type": "input_audio", "input_audio": {"data": "A" * 5_330, "format": "mp3"}}
    call = parsed(a_chat(messages=[{"role": "user", "content": [PICTURE, sound]}]))

    assert call.texts == (CountedText("", 4 + 85 + 11),)
    assert call.needs == {"vision", "audio"}


def test_of_several_bounds_the_largest_is_held_since_some_server_obeys_it():
    assert parsed(a_chat(max_tokens=5, max_completion_tokens=9, n_predict=700)).output_tokens_max == 700
    assert parsed(a_chat(max_tokens=None)).output_tokens_max is None


@pytest.mark.parametrize("value", [True, 5.0, "5", -1, 0, 10**20, [5], {}])
def test_a_bound_that_is_not_a_sane_integer_is_refused_by_name(value):
    fault = refused(a_chat(max_tokens=value))

    assert fault.param == "max_tokens"
    assert fault.message.startswith("max_tokens: must be")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": None}, "model"),
        ({"model": ""}, "model"),
        ({"model": "m" * 257}, "model"),
        ({"messages": "Hi"}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": ["Hi"]}, "messages[0]"),
        ({"messages": [{"content": "Hi"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": ["Hi"]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": "", "tool_calls": 1}]}, "messages[0].tool_calls"),
        ({"stream": "yes"}, "stream"),
        ({"stream": 1}, "stream"),
        ({"stream_options": []}, "stream_options"),
        ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
        ({"n": 17}, "n"),
        ({"n": True}, "n"),
        ({"tools": {}}, "tools"),
        ({"response_format": "json"}, "response_format"),
        ({"logprobs": 3}, "logprobs"),
    ],
)
def test_a_fault_names_its_field(fields, param):
    assert refused(a_chat(**fields)).param == param


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b'{"model":NaN}',
        b'{"model":"m","messages":[{"role":"user","content":"\\ud800"}]}',
        b'{"model":"m","messages":[{"role":"user","content":"\xed\xa0\x80"}]}',
        b'{"model":"m","temperature":1e999,"messages":[]}',
        b'{"model":"m"}{}',
        b"[" * 100_000,
    ],
)
def test_what_is_not_a_json_object_is_refused_before_anything_looks_at_it(body):
    assert refused(body).code in ("invalid_json", "json_too_deep")


def test_limits_are_named_when_they_are_passed():
    limits = Limits(body_bytes=200, messages=2, content_parts=1, json_depth=5)
    message = {"role": "user", "content": "Hi"}

    assert refused(a_chat(user="u" * 200), limits=limits).status == 413
    assert "at most 2" in refused(a_chat(messages=[message] * 3), limits=limits).message
    two_parts = [{"type": "text", "text": ""}] * 2
    assert "1 content parts" in refused(a_chat(messages=[{**message, "content": two_parts}]), limits=limits).message
    assert refused(a_chat(x=[[[[[[1]]]]]]), limits=limits).code == "json_too_deep"


def test_of_duplicate_keys_the_last_is_what_is_priced_and_what_is_sent():
    call = openai.parse(
        CallKind.CHAT, b'{"model":"a","max_tokens":1,"messages":[{"role":"user","content":""}],"max_tokens":9}', LIMITS
    )

    assert call.output_tokens_max == 9
    assert json.loads(openai.upstream_body(call, a_member()))["max_tokens"] == 9


@pytest.mark.parametrize(
    ("prompt", "texts", "ids", "choices"),
    [
        ("Hi", ("Hi",), 0, 1),
        (["a", "b"], ("a", "b"), 0, 2),
        ([1, 2, 3], (), 3, 1),
        ([[1, 2], [3]], (), 3, 2),
    ],
)
def test_a_prompt_is_text_texts_or_token_ids(prompt, texts, ids, choices):
    call = parsed({"model": "m", "prompt": prompt, "max_tokens": 0}, CallKind.COMPLETION)

    assert tuple(text.text for text in call.texts) == texts
    assert (call.token_ids, call.choices, call.fixed_tokens) == (ids, choices, 0)


def test_best_of_is_generated_and_so_it_is_held():
    assert parsed({"model": "m", "prompt": "", "n": 2, "best_of": 5}, CallKind.COMPLETION).choices == 5


@pytest.mark.parametrize("given_input", [None, [], [True], [1, 2.5], [1, -1], [[1], None], 5])
def test_an_input_that_is_none_of_these_is_refused(given_input):
    assert (refused({"model": "m", "input": given_input}, CallKind.EMBEDDING).param or "").startswith("input")


def test_an_embedding_has_no_output():
    call = parsed({"model": "m", "input": ["a", "b"], "stream": True}, CallKind.EMBEDDING)

    assert (call.stream, call.output_tokens_max, call.choices) == (False, 0, 1)


def test_the_upstream_gets_its_own_name_of_the_model_and_everything_else_as_it_was():
    body = a_chat(unknown={"deep": [1, None, "x"]}, seed=7)
    call = parsed(body)

    sent = json.loads(openai.upstream_body(call, a_member()))

    assert sent == {**body, "model": "meta/llama"}
    assert call.body == body


def test_usage_is_asked_for_when_the_caller_left_it_out():
    silent = parsed(a_chat(stream=True, stream_options={"other": 1}))
    asked = parsed(a_chat(stream=True, stream_options={"include_usage": True}))

    assert json.loads(openai.upstream_body(silent, a_member()))["stream_options"] == {"other": 1, "include_usage": True}
    assert json.loads(openai.upstream_body(asked, a_member()))["stream_options"] == {"include_usage": True}
    assert silent.body["stream_options"] == {"other": 1}
    no = a_member(supports_include_usage=False)
    assert "include_usage" not in json.loads(openai.upstream_body(silent, no))["stream_options"]
    assert "stream_options" not in json.loads(openai.upstream_body(parsed(a_chat()), a_member()))


def test_a_member_may_drop_fields_and_rename_the_bound():
    call = parsed(a_chat(max_completion_tokens=9, max_tokens=5, logit_bias={}))

    sent = json.loads(
        openai.upstream_body(call, a_member(max_tokens_field="max_tokens", drop_fields=frozenset({"logit_bias"})))
    )

    assert sent == {**a_chat(), "model": "meta/llama", "max_tokens": 9}


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@settings(deadline=None)
@given(extra=st.dictionaries(st.text(min_size=1).map("x_".__add__), JSON, max_size=5))
def test_any_unknown_field_travels_untouched(extra):
    call = parsed(a_chat(**extra), limits=Limits(json_depth=200))

    assert json.loads(openai.upstream_body(call, a_member())) == {**a_chat(), **extra, "model": "meta/llama"}


@settings(deadline=None)
@given(body=st.dictionaries(st.sampled_from(["model", "messages", "stream", "n", "max_tokens", "tools"]), JSON))
def test_any_json_is_parsed_or_refused_but_never_an_accident(body):
    try:
        parsed(body)
    except InvalidRequest as fault:
        assert fault.message

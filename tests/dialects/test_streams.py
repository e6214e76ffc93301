from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.dialects.openai import StreamReader
from gateway.domain.bill import Bill
from gateway.domain.call import CallKind
from gateway.domain.faults import BackendFailed, FailureKind
from gateway.domain.usage import TokenUsage
from tests.dialects.plain_stream import read_plainly

USAGE = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
ROLE = b'data: {"id":"1","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n'
HELLO = b'data: {"id":"1","choices":[{"index":0,"delta":{"content":"Hello"}}]}\n\n'
USAGE_EVENT = b'data: {"id":"1","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2,"total_tokens":9}}\n\n'
DONE = b"data: [DONE]\n\n"


def a_bill(usage: TokenUsage) -> Bill:
    return Bill(backend="gpu-a", usd_nanos=usage.input_tokens * 1_000 + usage.output_tokens)


def a_reader(*, wants_usage: bool = False, keep_bytes: int = 1 << 20) -> StreamReader:
    return StreamReader(CallKind.CHAT, wants_usage=wants_usage, bill=a_bill, keep_bytes=keep_bytes)


def passed(reader: StreamReader, *chunks: bytes) -> bytes:
    return b"".join([reader.feed(chunk) for chunk in chunks] + [reader.finish()])


def test_a_stream_without_usage_passes_byte_for_byte_and_unjoined():
    reader = a_reader()

    out = [reader.feed(chunk) for chunk in (ROLE, HELLO, HELLO, DONE)]

    assert out[0] is ROLE
    assert out[2] is HELLO
    assert b"".join(out) == ROLE + HELLO + HELLO + DONE


def test_the_usage_event_is_hidden_from_a_caller_who_did_not_ask():
    reader = a_reader(wants_usage=False)

    out = passed(reader, ROLE, HELLO, USAGE_EVENT, DONE)

    assert out == ROLE + HELLO + DONE
    assert reader.usage is not None
    assert (reader.usage.input_tokens, reader.usage.output_tokens) == (7, 2)
    assert reader.complete


def test_null_usage_fields_that_we_caused_are_removed_and_nothing_else():
    reader = a_reader()
    first = (
        b'data: {"id":"1","choices":[{"index":0,"delta":{"content":"caf\xc3\xa9, \\"usage\\":null"}}],"usage":null}\n\n'
    )
    inner = (
        b'data: {"id":"1","choices":[{"index":0,"delta":{"content":"b"},"usage":null}],'
        b'"usage": null ,"obfuscation":"x"}\n\n'
    )
    ahead = b'data: {"usage":null, "id":"1","choices":[{"index":0,"delta":{"content":"c"}}]}\n\n'

    out = passed(reader, first, inner, ahead)

    assert out == (
        b'data: {"id":"1","choices":[{"index":0,"delta":{"content":"caf\xc3\xa9, \\"usage\\":null"}}]}\n\n'
        b'data: {"id":"1","choices":[{"index":0,"delta":{"content":"b"},"usage":null}] ,"obfuscation":"x"}\n\n'
        b'data: {"id":"1","choices":[{"index":0,"delta":{"content":"c"}}]}\n\n'
    )


def test_a_caller_who_asked_gets_usage_with_its_cost_in_the_event_that_was_there_already():
    reader = a_reader(wants_usage=True)

    out = passed(reader, HELLO, USAGE_EVENT, DONE)

    event = json.loads(out.removeprefix(HELLO).removesuffix(DONE).removeprefix(b"data: "))
    assert event["usage"] == USAGE | {
        "cost": 0.000007002,
        "joulegate": {"backend": "gpu-a", "cost_usd": 0.000007002, "cost_usd_nanos": 7002},
    }
    assert out.count(b"data:") == 3


def test_null_usage_fields_stay_with_a_caller_who_asked():
    event = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}],"usage":null}\n\n'

    assert passed(a_reader(wants_usage=True), event) == event


def test_usage_on_a_finish_chunk_is_read_and_left_where_it_is():
    event = (
        b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],'
        b'"usage":{"prompt_tokens":7,"completion_tokens":2}}\n\n'
    )
    silent, asked = a_reader(wants_usage=False), a_reader(wants_usage=True)

    assert passed(silent, event) == event
    assert silent.usage is not None
    assert b'"cost":7.002e-6' in passed(asked, event)


def test_usage_passes_as_it_came_where_the_caller_may_see_no_price():
    event = b'data: {"choices":[], "usage": {"prompt_tokens": 7, "completion_tokens": 2}}\n\n'

    for bill in (Bill(), None):
        reader = StreamReader(CallKind.CHAT, wants_usage=True, bill=lambda _, bill=bill: bill, keep_bytes=0)
        assert passed(reader, event) == event


def test_the_upstreams_own_cost_gives_way_to_the_rated_one():
    event = b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2,"cost":99}}\n\n'

    out = passed(a_reader(wants_usage=True), event)

    assert json.loads(out.removeprefix(b"data: "))["usage"]["cost"] == 0.000007002


def test_hostile_usage_is_no_usage_and_is_not_priced():
    event = b'data: {"choices":[],"usage":{"prompt_tokens":-7,"completion_tokens":2}}\n\n'
    reader = a_reader(wants_usage=True)

    assert passed(reader, event) == event
    assert reader.usage is None


def test_an_incomplete_event_goes_down_at_once_as_far_as_it_can_not_be_about_usage():
    reader = a_reader(wants_usage=False)
    reader.feed(HELLO)

    early = reader.feed(b'data: {"choices":[{"index":0,"delta":{"content":"a long, long word')

    assert early == b'data: {"choices":[{"index":0,"delta":{"content":"a long, long word'
    assert reader.feed(b'"}}],"us') == b'"}}]'
    assert reader.feed(b'er":1}\n\n') == b',"user":1}\n\n'


def test_an_incomplete_event_that_may_be_hidden_waits():
    reader = a_reader(wants_usage=False)

    assert reader.feed(b'data: {"id":"1","choices":[') == b""
    assert reader.feed(b'],"usage":{"prompt_tokens":7,"completion_tokens":2}}\n\n') == b""
    assert reader.usage is not None


def test_the_first_token_is_the_first_event_that_says_something():
    reader = a_reader()

    reader.feed(b": a comment\n\n")
    reader.feed(ROLE)
    assert not reader.first_token
    reader.feed(HELLO)

    assert reader.first_token


@pytest.mark.parametrize(
    "delta",
    [
        {"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": ""}}]},
        {"reasoning_content": "hm"},
        {"refusal": "no"},
        {"audio": {"transcript": "hi"}},
    ],
)
def test_tool_calls_reasoning_refusals_and_transcripts_are_tokens_too(delta):
    reader = a_reader()

    reader.feed(b"data: " + json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode() + b"\n\n")

    assert reader.first_token


def test_a_stream_without_its_end_mark_is_incomplete():
    reader = a_reader()

    passed(reader, HELLO)

    assert not reader.complete


def test_the_words_done_in_an_answer_do_not_end_it():
    reader = a_reader()

    passed(reader, HELLO, b'data: {"choices":[{"index":0,"delta":{"content":"[DONE]"}}]}\n\n')

    assert not reader.complete


def test_an_end_mark_without_an_empty_line_counts():
    reader = a_reader()

    assert passed(reader, HELLO, b"data: [DONE]") == HELLO + b"data: [DONE]"
    assert reader.complete


def test_an_error_event_passes_and_is_noticed():
    event = b'data: {"error":{"message":"out of memory"}}\n\n'
    reader = a_reader()

    assert passed(reader, HELLO, event) == HELLO + event
    assert reader.failed


def test_what_was_said_is_read_back_per_choice_for_counting():
    reader = a_reader()
    other = b'data: {"choices":[{"index":1,"delta":{"content":"Salut"}}]}\n\n'
    more = b'data: {"choices":[{"index":0,"delta":{"content":" there"}}]}\n\n'
    error = b'data: {"error":{"message":"not counted"}}\n\n'

    passed(reader, HELLO[:20], HELLO[20:], other, more, error, DONE)

    assert reader.output_texts() == ("Hello there", "Salut")
    assert reader.kept_whole


def test_what_is_kept_for_counting_has_a_cap():
    reader = a_reader(keep_bytes=len(HELLO))

    passed(reader, HELLO, HELLO, HELLO)

    assert reader.output_texts() == ("Hello",)
    assert not reader.kept_whole


@pytest.mark.parametrize("cut", [1 << 16, 3 << 20])
def test_a_line_above_its_cap_fails_the_stream_however_it_arrives(cut):
    stream = b"data: " + b"x" * (1 << 20) + b"\n\n"
    reader = a_reader()

    with pytest.raises(BackendFailed) as failed:
        for start in range(0, len(stream), cut):
            reader.feed(stream[start : start + cut])

    assert failed.value.kind is FailureKind.PROTOCOL
    assert failed.value.sent


def test_what_was_said_before_a_cap_was_passed_can_still_be_counted():
    reader = a_reader(keep_bytes=4 << 20)
    reader.feed(HELLO)
    with pytest.raises(BackendFailed):
        reader.feed(b"data: " + b"x" * (2 << 20))

    assert reader.output_texts() == ("Hello",)


def test_an_event_above_its_cap_fails_the_stream_even_in_short_lines():
    reader = a_reader()

    with pytest.raises(BackendFailed):
        for _ in range(5):
            reader.feed((b"data: " + b"x" * 1_000 + b"\n") * 1_000)


# Law 7. Streams are built of pieces that have bitten others, with any line ends, and cut anywhere.

CONTENTS = st.sampled_from(["", "Hi", "a, b", "café", '"usage":null', "[DONE]", "\\", "{[", "usage"])
USAGES = st.sampled_from(
    [
        {"prompt_tokens": 7, "completion_tokens": 2},
        {"prompt_tokens": 70, "completion_tokens": 20, "prompt_tokens_details": {"cached_tokens": 64}},
        {"prompt_tokens": -1, "completion_tokens": 2},
        {"prompt_tokens": 1, "completion_tokens": 2.5},
        {"prompt_tokens": 1, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 3}},
        {},
    ]
)


@st.composite
def objects(draw: st.DrawFn) -> dict[str, object]:
    members: list[tuple[str, object]] = [("id", "1")]
    if draw(st.booleans()):
        delta = {"content": draw(CONTENTS)}
        members.append(
            ("choices", draw(st.sampled_from([[], [{"index": 0, "delta": delta}], [{"index": 1, "delta": {}}]])))
        )
    if draw(st.booleans()):
        members.append(("usage", draw(st.none() | USAGES)))
    if draw(st.booleans()):
        members.append(("error", draw(st.none() | st.just({"message": "m"}))))
    return dict(draw(st.permutations(members)))


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    out = draw(st.sampled_from([b"", b"", b"\xef\xbb\xbf", b"\n"]))
    for _ in range(draw(st.integers(0, 6))):
        end = draw(st.sampled_from([b"\n", b"\n", b"\r\n", b"\r"]))
        separators = draw(st.sampled_from([(",", ":"), (", ", ": ")]))
        data = json.dumps(draw(objects()), separators=separators, ensure_ascii=draw(st.booleans())).encode()
        lines = draw(
            st.sampled_from(
                [
                    [b"data: " + data],
                    [b"data: " + data],
                    [b"data:" + data],
                    [b"event: message", b"id: 3", b"data: " + data],
                    [b": ping"],
                    [b"data: [DONE]"],
                    [b"data", b"data: x"],
                    [b"data: {", b'data: "usage":null}'],
                    [b"nonsense"],
                ]
            )
        )
        out += end.join(lines) + end + draw(st.sampled_from([end, end, end + end, b"\n", b"\r\n"]))
    return out[: len(out) - draw(st.sampled_from([0, 0, 0, 1, 2, 9]))]


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(stream), *(place % (len(stream) + 1) for place in places)})
    return [stream[start:end] for start, end in pairwise(edges)]


@settings(max_examples=300, deadline=None)
@given(stream=streams(), places=st.lists(st.integers(0, 5_000), max_size=30), wants_usage=st.booleans())
@example(stream=HELLO + USAGE_EVENT.replace(b"\n", b"\r") + b"\n" + HELLO, places=[1, 2, 3], wants_usage=False)
@example(stream=HELLO + b"\n" + USAGE_EVENT + DONE, places=[len(HELLO) + 1], wants_usage=False)
def test_any_way_of_cutting_a_stream_gives_the_same_bytes_usage_and_cost(stream, places, wants_usage):
    plain = read_plainly(stream, wants_usage=wants_usage, bill=a_bill)
    whole, pieces, single = (a_reader(wants_usage=wants_usage) for _ in range(3))

    assert passed(whole, stream) == plain.out
    assert passed(pieces, *cut(stream, places)) == plain.out
    assert passed(single, *(stream[at : at + 1] for at in range(len(stream)))) == plain.out
    for reader in (whole, pieces, single):
        assert reader.usage == plain.usage
        assert reader.complete == plain.complete
        assert reader.first_token == whole.first_token
        assert reader.failed == whole.failed
        assert reader.output_texts() == whole.output_texts()


def test_a_key_that_asks_for_a_comment_finds_the_price_where_the_usage_event_was_hidden() -> None:
    reader = StreamReader(
        CallKind.CHAT,
        wants_usage=False,
        bill=lambda usage: Bill(usd_nanos=usage.total_tokens),
        keep_bytes=1_000,
        comment=True,
    )
    said = b'data: {"choices":[{"index":0,"delta":{"content":"hi"}}]}\n\n'
    usage = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}}\n\n'

    passed = reader.feed(said) + reader.feed(usage + b"data: [DONE]\n\n") + reader.finish()

    assert passed == said + b': joulegate {"cost_usd":4e-9,"cost_usd_nanos":4}\n\ndata: [DONE]\n\n'

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.backends.reading import AnswerReader, BadAnswer
from tests.backends.hostile import CHUNKED, LENGTH, OK, REFUSED_BY_ALL, REFUSED_BY_US

HOSTILE = REFUSED_BY_ALL | REFUSED_BY_US
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
WHOLE = {
    "a length": LENGTH + b"\r\n{}",
    "chunks": CHUNKED + b"\r\n1\r\n{\r\n1;ext=1\r\n}\r\n0\r\n\r\n",
    "trailers": CHUNKED + b"\r\n2\r\n{}\r\n0\r\nx-t: 1\r\n\r\n",
    "an interim answer first": CONTINUE + LENGTH + b"\r\n{}",
    "no more after it": LENGTH + b"connection: close\r\n\r\n{}",
    "an old server": b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\n{}",
}


def asked() -> AnswerReader:
    reader = AnswerReader()
    reader.begin()
    return reader


def fed(*pieces: bytes) -> AnswerReader:
    reader = asked()
    for piece in pieces:
        reader.feed(piece)
    return reader


def cut(whole: bytes, places: set[int]) -> list[bytes]:
    edges = [0, *sorted(place for place in places if 0 < place < len(whole)), len(whole)]
    return [whole[start:end] for start, end in pairwise(edges)]


@pytest.mark.parametrize("answer", WHOLE.values(), ids=WHOLE)
def test_a_whole_answer_is_complete_at_its_last_byte(answer):
    reader = fed(answer)

    assert reader.complete
    assert (reader.status, b"".join(reader.pieces)) == (200, b"{}")
    assert not fed(answer[:-1]).complete


@pytest.mark.parametrize("answer", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("size", [1, 7, 1 << 20], ids=["byte by byte", "in sevens", "at once"])
def test_a_hostile_answer_is_never_whole(answer, size):
    reader = asked()

    try:
        for start in range(0, len(answer), size):
            reader.feed(answer[start : start + size])
        whole = reader.end()
    except BadAnswer:
        whole = False

    assert not whole
    assert not reader.reusable


@given(st.sampled_from(sorted(WHOLE)), st.sets(st.integers(1, 160)))
def test_any_cutting_gives_the_same_answer_and_never_more_trust(name, places):
    answer = WHOLE[name]

    reader, at_once = fed(*cut(answer, places)), fed(answer)

    assert (reader.complete, reader.status, reader.headers, reader.length) == (
        at_once.complete,
        at_once.status,
        at_once.headers,
        at_once.length,
    )
    assert b"".join(reader.pieces) == b"{}"
    assert at_once.reusable or not reader.reusable


@given(st.sampled_from([WHOLE["a length"], WHOLE["chunks"]]), st.sets(st.integers(1, 160)), st.binary(min_size=1))
def test_no_connection_with_a_byte_behind_the_end_is_used_again(answer, places, surplus):
    reader = asked()

    with suppress(BadAnswer):
        for piece in cut(answer + surplus, places):
            reader.feed(piece)

    assert not reader.reusable
    assert b"".join(reader.pieces) == b"{}"


@pytest.mark.parametrize("answer", [WHOLE["a length"], WHOLE["chunks"], WHOLE["no more after it"]])
def test_an_answer_longer_than_it_says_is_not_taken_for_a_whole_one(answer):
    with pytest.raises(BadAnswer):
        fed(answer + b"}")


@pytest.mark.parametrize("surplus", [b"\r\n", b"\n", b"\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"])
@pytest.mark.parametrize("answer", [WHOLE["a length"], WHOLE["chunks"], OK + b"content-length: 0\r\n\r\n"])
def test_even_an_empty_line_behind_the_end_is_a_doubt(answer, surplus):
    assert fed(answer).reusable
    assert not fed(answer + surplus).reusable


@pytest.mark.parametrize("name", ["trailers", "an interim answer first", "no more after it", "an old server"])
def test_a_whole_answer_of_an_unusual_kind_costs_its_connection(name):
    assert not fed(WHOLE[name]).reusable


def test_two_answers_on_one_connection_share_nothing():
    reader = fed(OK + b"retry-after: 3\r\ncontent-length: 1\r\n\r\na")
    reader.begin()

    reader.feed(b"HTTP/1.1 503 No\r\ncontent-length: 1\r\n\r\nb")

    assert (reader.status, reader.headers, reader.pieces) == (503, {}, [b"b"])
    assert reader.reusable


def test_an_answer_without_a_length_ends_with_the_connection():
    reader = fed(OK + b"\r\ndata: x\n\n")

    assert not reader.complete
    assert reader.end()
    assert not reader.reusable


@pytest.mark.parametrize("status", [200, 400, 429, 500, 503])
def test_headers_that_may_go_down_are_kept_and_no_other(status):
    head = b"HTTP/1.1 %d X\r\nContent-Type: text/html\r\nSet-Cookie: a=1\r\nRETRY-AFTER: 7\r\nserver: s\r\n" % status
    reader = fed(head + b"retry-after: 9\r\nretry-after-ms: \xff\r\ncontent-length: 0\r\n\r\n")

    assert reader.headers == {"content-type": "text/html", "retry-after": "7"}
    assert reader.status == status


def test_chunk_extensions_without_end_are_refused():
    reader = fed(CHUNKED + b"\r\n", b"1\r\n{\r\n1;a")

    with pytest.raises(BadAnswer):
        for _ in range(100):
            reader.feed(b"a" * 1_000)


def test_a_trailer_without_end_is_refused():
    reader = fed(CHUNKED + b"\r\n0\r\nx-t: a")

    with pytest.raises(BadAnswer):
        for _ in range(100):
            reader.feed(b"a" * 1_000)


def test_a_head_without_end_is_refused():
    reader = fed(OK)

    with pytest.raises(BadAnswer):
        for number in range(33):
            reader.feed(b"x-%d: %b\r\n" % (number, b"a" * 1_000))

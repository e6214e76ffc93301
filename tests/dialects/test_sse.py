from __future__ import annotations

import pytest

from gateway.dialects.sse import LATE_LF, EventSplitter, data_of


@pytest.mark.parametrize(
    ("event", "data"),
    [
        (b"data: x\n\n", b"x"),
        (b"data:x\r\n\r\n", b"x"),
        (b"data:  x\r\r", b" x"),
        (b": comment\ndata: a\nid: 1\ndata\ndata: b\n\n", b"a\n\nb"),
        (b"\xef\xbb\xbfdata: x\n\n", b"x"),
        (b"database: x\n\n", b""),
        (b"event: ping\n\n", b""),
        (b"data: x", b"x"),
    ],
)
def test_data_is_the_data_lines_joined(event, data):
    assert data_of(event) == data


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r", b"\n\r\n", b"\r\n\n"])
def test_any_two_line_ends_in_a_row_end_an_event(end):
    splitter = EventSplitter()

    assert list(splitter.push(b"data: a" + end + b"data: b")) == [b"data: a" + end]
    assert splitter.tail == b"data: b"


def test_a_crlf_is_one_line_end_even_when_it_is_cut():
    splitter = EventSplitter()

    assert list(splitter.push(b"data: a\r")) == []
    assert list(splitter.push(b"\n")) == []
    assert list(splitter.push(b"data: b\r\n\r")) == [b"data: a\r\ndata: b\r\n\r"]
    assert list(splitter.push(b"\ndata: c\n\n")) == [LATE_LF, b"data: c\n\n"]

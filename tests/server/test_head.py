from __future__ import annotations

import string

from hypothesis import given
from hypothesis import strategies as st

from gateway.server.head import Heads
from tests.server.house import FakeClock

DATE = "date: Mon, 24 Nov 2025 16:00:00 GMT"  # of 1_764_000_000 s, by `date -u -d @1764000000`


def built(*headers: tuple[str, str], status: int = 200, closing: str = "") -> list[str]:
    head = Heads(FakeClock()).build(status, headers, "id-1", framing="content-length: 2", closing=closing)
    assert head.endswith(b"\r\n\r\n")
    return head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")


def test_a_head_holds_what_was_given_and_how_long_the_body_is() -> None:
    assert built(("x-joulegate-backend", "gpu-a"), ("content-type", "text/event-stream")) == [
        "HTTP/1.1 200 OK",
        "x-joulegate-backend: gpu-a",
        "content-type: text/event-stream",
        "x-request-id: id-1",
        DATE,
        "content-length: 2",
    ]


def test_json_is_assumed() -> None:
    assert "content-type: application/json" in built()


def test_a_request_id_that_was_given_is_not_given_twice() -> None:
    assert [line for line in built(("x-request-id", "theirs")) if "request-id" in line] == ["x-request-id: theirs"]


def test_framing_is_ours_alone() -> None:
    lines = built(
        ("Content-Length", "99"), ("Transfer-Encoding", "chunked"), ("Connection", "upgrade"), ("keep-alive", "x")
    )

    assert [line for line in lines if line.startswith(("content-length", "transfer", "connection", "keep"))] == [
        "content-length: 2"
    ]


def test_an_unknown_status_still_has_a_line() -> None:
    assert built(status=299)[0] == "HTTP/1.1 299 Unknown"


def test_nothing_names_our_software() -> None:
    assert not [line for line in built() if line.startswith("server:")]


def test_a_line_end_in_a_value_starts_no_header() -> None:
    lines = built(("x-a", "1\r\nset-cookie: stolen=1"), ("x-b", "2\n3"), ("x-c", "4\x005"))

    assert "x-a: 1  set-cookie: stolen=1" in lines
    assert "x-b: 2 3" in lines
    assert "x-c: 4 5" in lines
    assert not [line for line in lines if line.startswith("set-cookie")]


def test_with_a_line_end_somewhere_names_that_are_no_names_are_left_out() -> None:
    lines = built(("x-a", "1"), ("x\r\ny", "2"), ("x b", "3"), ("", "4"), ("x-c", "5"))

    assert lines[1:3] == ["x-a: 1", "x-c: 5"]
    assert len(lines) == 7


@given(
    st.lists(
        st.tuples(
            st.text(alphabet=string.ascii_letters + "-\r\n: \0", max_size=8),
            st.text(alphabet="abc\r\n\0\x7f\t é€", max_size=12),
        ),
        max_size=5,
    )
)
def test_no_header_can_add_a_line_of_its_own(headers: list[tuple[str, str]]) -> None:
    lines = built(*headers)

    ours = ("HTTP/1.1 200 OK", "x-request-id: id-1", "content-type: application/json", DATE, "content-length: 2")
    assert len(lines) <= len(headers) + len(ours)
    assert not any(control in line for line in lines for control in "\r\n\0")
    assert lines[0] == "HTTP/1.1 200 OK"
    assert lines[-1] == "content-length: 2"

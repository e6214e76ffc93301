from __future__ import annotations

import pytest

from gateway.domain.faults import InvalidRequest
from gateway.server.headers import caller_of, collect, credential


def said(**headers: str) -> dict[bytes, bytes]:
    """Headers as they would be collected; `x_request_id` stands for `x-request-id`."""
    return {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}


def test_everything_a_caller_may_say_is_read() -> None:
    caller = caller_of(
        said(
            x_joulegate_session="chat-7",
            x_joulegate_class="batch",
            x_joulegate_tags="feature=search, stage=prod",
            x_joulegate_deadline_ms="2500",
            idempotency_key="order/17",
            traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            x_request_id="mine-1",
            x_joulegate_usage="headers",
            x_stainless_retry_count="2",
        ),
        "own-1",
    )

    assert caller.request_id == "own-1"
    assert caller.session == "chat-7"
    assert caller.sla_class == "batch"
    assert caller.tags == (("feature", "search"), ("stage", "prod"))
    assert caller.deadline_ms == 2500
    assert caller.idempotency_key == "order/17"
    assert caller.traceparent == "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    assert caller.client_request_id == "mine-1"
    assert caller.usage_in_headers_only is True
    assert caller.sdk_retry == 2


def test_silence_is_fine() -> None:
    caller = caller_of({}, "own-1")

    assert (caller.session, caller.tags, caller.deadline_ms, caller.sdk_retry) == (None, (), None, 0)


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("x-joulegate-session", "a b"),
        ("x-joulegate-session", ""),
        ("x-joulegate-session", "a" * 65),
        ("x-joulegate-session", "a:{b}"),
        ("x-joulegate-class", "très"),
        ("x-joulegate-tags", "novalue"),
        ("x-joulegate-tags", "a=1,a=2"),
        ("x-joulegate-tags", "a=b=c"),
        ("x-joulegate-tags", ",".join(f"t{n}=1" for n in range(17))),
        ("x-joulegate-deadline-ms", "0"),
        ("x-joulegate-deadline-ms", "-5"),
        ("x-joulegate-deadline-ms", "1e9"),
        ("x-joulegate-deadline-ms", "99999999"),
        ("x-joulegate-deadline-ms", "٣"),
        ("idempotency-key", "a" * 256),
        ("idempotency-key", "a b"),
        ("x-joulegate-usage", "none"),
    ],
)
def test_a_value_we_can_not_use_is_refused_by_the_name_of_its_header(header: str, value: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        caller_of({header.encode(): value.encode()}, "own-1")

    assert refused.value.param == header
    assert header in refused.value.message


@pytest.mark.parametrize(
    "traceparent",
    [
        "",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ],
)
def test_a_broken_traceparent_is_dropped_not_refused(traceparent: str) -> None:
    assert caller_of({b"traceparent": traceparent.encode()}, "own-1").traceparent is None


def test_a_request_id_that_is_no_id_is_not_echoed() -> None:
    assert caller_of({b"x-request-id": b"<script>"}, "own-1").client_request_id is None


def test_a_retry_count_that_is_no_number_counts_as_none() -> None:
    assert caller_of({b"x-stainless-retry-count": b"many"}, "own-1").sdk_retry == 0


def test_a_header_sent_twice_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        collect([(b"X-Joulegate-Session", b"a"), (b"x-joulegate-session", b"b")])


def test_headers_we_do_not_read_may_come_twice() -> None:
    assert collect([(b"Accept", b"a"), (b"Accept", b"b")]) == {}


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ([(b"Authorization", b"Bearer jg-1")], b"jg-1"),
        ([(b"authorization", b"bearer   jg-1 ")], b"jg-1"),
        ([(b"X-Api-Key", b"jg-1")], b"jg-1"),
        ([(b"X-Api-Key", b"schl\xfcssel")], b"schl\xfcssel"),
        ([(b"Authorization", b"Basic dTpw")], None),
        ([(b"Authorization", b"Bearer")], None),
        ([(b"Authorization", b"jg-1")], None),
        ([(b"api-key", b"jg-1")], None),
        ([(b"X-Api-Key", b"")], None),
        ([(b"X-Api-Key", b"a" * 513)], None),
        ([], None),
    ],
)
def test_a_key_is_bearer_or_x_api_key(headers: list[tuple[bytes, bytes]], key: bytes | None) -> None:
    assert credential(collect(headers)) == key


@pytest.mark.parametrize(
    "headers",
    [
        [(b"Authorization", b"Bearer a"), (b"x-api-key", b"a")],
        [(b"x-api-key", b"a"), (b"api-key", b"a")],
        [(b"Authorization", b"Bearer a"), (b"Authorization", b"Bearer b")],
    ],
)
def test_two_credentials_are_refused_even_when_they_agree(headers: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(InvalidRequest):
        credential(collect(headers))

from __future__ import annotations

import pytest

from gateway.backends.heads import RequestHeads
from gateway.backends.target import target_of
from gateway.domain.catalog import Backend


def a_head(backend: Backend, *, stream: bool = False, path: str = "/chat/completions") -> list[str]:
    heads = RequestHeads(backend, target_of(backend))
    head = heads.head(path, stream=stream, body_bytes=7, request_id="r-1", traceparent=None)
    assert head.endswith(b"\r\n\r\n")
    return head.decode().split("\r\n")[:-2]


@pytest.mark.parametrize(
    ("url", "line", "host"),
    [
        ("http://gpu-a:8000/v1", "POST /v1/chat/completions HTTP/1.1", "host: gpu-a:8000"),
        ("http://gpu-a/v1/", "POST /v1/chat/completions HTTP/1.1", "host: gpu-a"),
        ("https://api.example:443", "POST /chat/completions HTTP/1.1", "host: api.example"),
        ("http://[2001:db8::1]:80/a%20b", "POST /a%20b/chat/completions HTTP/1.1", "host: [2001:db8::1]"),
        ("http://b\N{LATIN SMALL LETTER U WITH DIAERESIS}cher.example", "POST /chat/completions HTTP/1.1", None),
    ],
)
def test_the_destination_is_the_configured_one(url, line, host):
    head = a_head(Backend("gpu-a", url))

    assert head[0] == line
    assert (host or "host: xn--bcher-kva.example") in head


def test_configured_headers_go_along_but_never_in_place_of_ours():
    given = (("X-Tenant", "t"), ("x-tenant", "u"), ("Accept", "x"), ("authorization", "Basic x"), ("x-request-id", "0"))

    head = a_head(Backend("gpu-a", "http://x", headers=given, api_key="key"), stream=True)

    assert sorted(head[1:]) == [
        "accept-encoding: identity",
        "accept: text/event-stream",
        "authorization: Bearer key",
        "content-length: 7",
        "content-type: application/json",
        "host: x",
        "user-agent: joulegate",
        "x-request-id: r-1",
        "x-tenant: t",
        "x-tenant: u",
    ]


def test_a_backend_without_a_key_may_have_another_authorization():
    assert "authorization: Basic x" in a_head(Backend("gpu-a", "http://x", headers=(("authorization", "Basic x"),)))


def test_a_configured_host_takes_the_place_of_the_urls():
    head = a_head(Backend("gpu-a", "http://10.0.0.1", headers=(("host", "model.internal"),)))

    assert [line for line in head if line.startswith("host:")] == ["host: model.internal"]


@pytest.mark.parametrize("path", ["chat", "/a b", "/a\r\nx: y"])
def test_a_path_that_could_end_the_line_is_refused(path):
    with pytest.raises(ValueError, match="path"):
        a_head(Backend("gpu-a", "http://x"), path=path)

"""Messages that two readers could take differently, sent byte by byte over real sockets."""

from __future__ import annotations

import pytest

from tests.server.house import KEY, a_port, body_of, get, headers_of, post, status_of

AUTH = b"Host: localhost\r\nAuthorization: Bearer " + KEY + b"\r\n"
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\n" + AUTH
SMUGGLED = b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nx-api-key: " + KEY + b"\r\n\r\n"

HOSTILE = {
    "content-length and transfer-encoding": HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "transfer-encoding and content-length": HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "space before the colon": HEAD + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "unknown coding": HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "transfer-encoding twice": HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "transfer-encoding twice, differently": HEAD
    + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n",
    "vertical tab in the coding": HEAD + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "chunked is not last": HEAD + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "lengths that differ": HEAD + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "lengths that agree": HEAD + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "a list of lengths": HEAD + b"Content-Length: 3, 3\r\n\r\nabc",
    "length with a plus": HEAD + b"Content-Length: +3\r\n\r\nabc",
    "length in hex": HEAD + b"Content-Length: 0x3\r\n\r\nabc",
    "negative length": HEAD + b"Content-Length: -3\r\n\r\nabc",
    "length with an underscore": HEAD + b"Content-Length: 1_0\r\n\r\nabcdefghij",
    "length past 64 bits": HEAD + b"Content-Length: 99999999999999999999999\r\n\r\n",
    "empty length": HEAD + b"Content-Length:\r\n\r\n",
    "bare line feeds": HEAD.replace(b"\r\n", b"\n") + b"Content-Length: 0\n\n",
    "bare carriage returns": HEAD + b"X-Test: a\rContent-Length: 0\r\n\r\n",
    "folded header": HEAD + b"X-Test: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    "NUL in a value": HEAD + b"X-Test: a\x00b\r\nContent-Length: 0\r\n\r\n",
    "NUL in a name": HEAD + b"X-\x00Test: a\r\nContent-Length: 0\r\n\r\n",
    "no colon": HEAD + b"X-Test\r\nContent-Length: 0\r\n\r\n",
    "space in a name": HEAD + b"X Test: a\r\nContent-Length: 0\r\n\r\n",
    "underscore in a name": HEAD + b"Content_Length: 5\r\nContent-Length: 0\r\n\r\n",
    "two hosts": HEAD + b"Host: other\r\nContent-Length: 0\r\n\r\n",
    "no host": b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
    "host with a path": b"GET /v1/models HTTP/1.1\r\nHost: x/../admin?\r\nx-api-key: " + KEY + b"\r\n\r\n",
    "host with a user": b"GET /v1/models HTTP/1.1\r\nHost: user@x\r\nx-api-key: " + KEY + b"\r\n\r\n",
    "empty host": b"GET /v1/models HTTP/1.1\r\nHost:\r\nx-api-key: " + KEY + b"\r\n\r\n",
    "two content-types": HEAD + b"Content-Type: a/b\r\nContent-Type: c/d\r\nContent-Length: 0\r\n\r\n",
    "the h2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "not HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "absolute-form target": b"GET http://localhost/v1/models HTTP/1.1\r\n" + AUTH + b"\r\n",
    "absolute-form to another host": b"GET http://10.0.0.1/ HTTP/1.1\r\n" + AUTH + b"\r\n",
    "asterisk-form target": b"OPTIONS * HTTP/1.1\r\n" + AUTH + b"\r\n",
    "CONNECT": b"CONNECT localhost:1 HTTP/1.1\r\n" + AUTH + b"\r\n",
    "a header of 9 KB": HEAD + b"X-Test: " + b"a" * 9_000 + b"\r\nContent-Length: 0\r\n\r\n",
    "a line of 9 KB": b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\n" + AUTH + b"\r\n",
    "200 headers": HEAD + b"".join(b"X-%d: a\r\n" % n for n in range(200)) + b"Content-Length: 0\r\n\r\n",
    "GET with a body": b"GET /v1/models HTTP/1.1\r\n" + AUTH + b"Content-Length: 3\r\n\r\nabc",
    "GET with chunks": b"GET /v1/models HTTP/1.1\r\n" + AUTH + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "HTTP/1.0 with chunks": post(framing=b"Transfer-Encoding: chunked", body=b"0\r\n\r\n", version=b"HTTP/1.0"),
    "HTTP/1.0 with chunks kept alive": post(
        framing=b"Transfer-Encoding: chunked\r\nConnection: keep-alive", body=b"0\r\n\r\n", version=b"HTTP/1.0"
    ),
}
HOSTILE_CHUNKS = {
    "size with 0x": b"0x5\r\nabcde\r\n0\r\n\r\n",
    "size with a plus": b"+5\r\nabcde\r\n0\r\n\r\n",
    "negative size": b"-5\r\nabcde\r\n0\r\n\r\n",
    "size past 64 bits": b"fffffffffffffffff\r\nabcde\r\n0\r\n\r\n",
    "extension with a line feed": b"5;a\nb\r\nabcde\r\n0\r\n\r\n",
    "bare line feeds": b"5\nabcde\n0\n\n",
    "chunk longer than said": b"5\r\nabcdefgh\r\n0\r\n\r\n",
    "length in the trailer": b"5\r\nabcde\r\n0\r\nContent-Length: 9\r\n\r\n",
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_head_is_refused_and_nothing_after_it_is_served(name: str) -> None:
    async with a_port() as port:
        answer = await port.send(HOSTILE[name] + SMUGGLED, until_close=True)

        assert status_of(answer) == 400
        assert answer.count(b"HTTP/1.1 ") == 1
        assert b'"code"' in body_of(answer)
        assert headers_of(answer)["connection"] == "close"
        assert port.pipeline.seen == []
        assert port.signals.refusals == ["framing"]


@pytest.mark.parametrize("name", HOSTILE_CHUNKS)
async def test_hostile_chunks_are_refused_and_nothing_after_them_is_served(name: str) -> None:
    async with a_port() as port:
        answer = await port.send(
            post(HOSTILE_CHUNKS[name], framing=b"Transfer-Encoding: chunked") + SMUGGLED, until_close=True
        )

        assert status_of(answer) == 400
        assert b'"object":"list"' not in answer
        assert port.pipeline.bodies == []


@pytest.mark.parametrize("name", HOSTILE_CHUNKS)
async def test_hostile_chunks_that_come_after_the_head_are_refused_at_once(name: str) -> None:
    async with a_port() as port:
        raw = post(HOSTILE_CHUNKS[name], framing=b"Transfer-Encoding: chunked")
        head, body = raw.split(b"\r\n\r\n", 1)

        answer = await port.send_slowly([head + b"\r\n\r\n", body + SMUGGLED], seconds=2.0)

        assert status_of(answer) == 400
        assert b'"object":"list"' not in answer
        assert port.pipeline.bodies == []


@pytest.mark.parametrize("version", [b"HTTP/2.0", b"HTTP/0.9", b"HTTP/1.9", b"HTTP/3.0"])
async def test_no_other_version_of_http_is_served(version: bytes) -> None:
    async with a_port() as port:
        answer = await port.send(post(version=version), until_close=True)

        assert status_of(answer) in (400, 505)
        assert port.pipeline.seen == []


async def test_http_2_in_a_request_line_is_answered_505() -> None:
    async with a_port() as port:
        answer = await port.send(post(version=b"HTTP/2.0"), until_close=True)

        assert status_of(answer) == 505


@pytest.mark.parametrize(
    "path",
    [
        "/%00/..%2fadmin",
        "/v1%2fmodels",
        "/v1/../v1/models",
        "/v1/models/..%2f..%2fadmin",
        "/v1/models/%00",
        "/v1/models/..%5cadmin",
        "/v1/usage/..%2fkey",
        "/v1/usage/%00",
        "//v1/models",
        "/v1/models/",
        "/metrics",
        "/admin/v1/keys",
        "/",
    ],
)
async def test_a_path_that_is_not_in_the_table_is_not_found(path: str) -> None:
    async with a_port() as port:
        answer = await port.send(get(path))

        assert status_of(answer) == 404


async def test_the_wrong_method_is_named_with_the_right_one() -> None:
    async with a_port() as port:
        answer = await port.send(get("/v1/chat/completions"))

        assert status_of(answer) == 405
        assert headers_of(answer)["allow"] == "POST"


async def test_pipelined_requests_are_answered_in_order() -> None:
    async with a_port() as port:
        answer = await port.send(
            post(b"a") + post(b"bb") + post(b"ccc", headers=(("Connection", "close"),)), until_close=True
        )

        assert [body_of(part) for part in answer.split(b"HTTP/1.1 200 OK")[1:]] == [
            b'{"bytes": 1}',
            b'{"bytes": 2}',
            b'{"bytes": 3}',
        ]


async def test_nothing_behind_a_hostile_request_is_served_even_when_a_good_one_stood_before_it() -> None:
    async with a_port() as port:
        hostile = HOSTILE["a list of lengths"]

        answer = await port.send_slowly([post(b"a"), hostile + SMUGGLED])

        assert [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]] == [b"200", b"400"]
        assert b'"object":"list"' not in answer


async def test_http_1_0_is_served_and_closed() -> None:
    async with a_port() as port:
        answer = await port.send(post(b"abc", version=b"HTTP/1.0"), until_close=True)

        assert status_of(answer) == 200
        assert headers_of(answer)["connection"] == "close"


async def test_a_host_outside_the_allow_list_is_refused() -> None:
    async with a_port(hosts=frozenset({"gateway.example"})) as port:
        assert status_of(await port.send(get("/v1/models"))) == 400
        allowed = get("/v1/models").replace(b"localhost", b"Gateway.Example:8080")
        assert status_of(await port.send(allowed)) == 200


async def test_an_upgrade_is_not_taken() -> None:
    async with a_port() as port:
        answer = await port.send(
            get("/v1/models", headers=(("Connection", "Upgrade"), ("Upgrade", "h2c"))), until_close=False
        )

        assert status_of(answer) == 200

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.domain.faults import FailureKind
from tests.backends.asking import OK, an_upstream, failure, whole

ANSWER = OK + b"content-length: 2\r\n\r\n{}"


@dataclass(frozen=True)
class Papers:
    """A private CA and what it signed: for 127.0.0.1 and localhost, and for another host."""

    ca: Path
    ours: ssl.SSLContext
    anothers: ssl.SSLContext


def openssl(*words: str | Path) -> None:
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)


def signed(folder: Path, name: str, names: str) -> ssl.SSLContext:
    key, request, certificate, extra = (folder / f"{name}.{ending}" for ending in ("key", "csr", "pem", "ext"))
    extra.write_text(f"subjectAltName={names}\n", encoding="utf-8")
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", request, "-subj", f"/CN={name}")
    openssl(
        *("x509", "-req", "-in", request, "-CA", folder / "ca.pem", "-CAkey", folder / "ca.key", "-CAcreateserial"),
        *("-days", "2", "-extfile", extra, "-out", certificate),
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    folder = tmp_path_factory.mktemp("ca")
    openssl(
        *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", folder / "ca.key", "-out", folder / "ca.pem"),
        *("-days", "2", "-subj", "/CN=a private CA"),
        *("-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign"),
    )
    ours = signed(folder, "ours", "IP:127.0.0.1,DNS:localhost")
    return Papers(folder / "ca.pem", ours, signed(folder, "anothers", "DNS:elsewhere.example"))


@dataclass
class TlsServer:
    port: int = 0
    connections: int = 0
    requests: int = 0


@asynccontextmanager
async def a_tls_server(
    papers: ssl.SSLContext, answer: bytes = ANSWER, *, close: bool = False
) -> AsyncIterator[TlsServer]:
    seen = TlsServer()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                await reader.readexactly(length)
                seen.requests += 1
                writer.write(answer)
                if close:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=papers)
    seen.port = server.sockets[0].getsockname()[1]
    try:
        yield seen
    finally:
        server.close()


async def test_a_backend_that_a_private_ca_vouches_for_is_used_and_used_again(papers):
    async with (
        a_tls_server(papers.ours) as server,
        an_upstream(f"https://127.0.0.1:{server.port}/v1", ca_file=str(papers.ca)) as up,
    ):
        assert [await whole(up) for _ in range(3)] == [b"{}"] * 3
        assert (server.connections, server.requests) == (1, 3)


async def test_a_name_is_checked_as_well_as_an_address(papers):
    async with (
        a_tls_server(papers.ours) as server,
        an_upstream(f"https://localhost:{server.port}/v1", ca_file=str(papers.ca)) as up,
    ):
        assert await whole(up) == b"{}"


async def test_a_body_ended_by_close_is_whole_when_tls_said_goodbye(papers):
    async with (
        a_tls_server(papers.ours, OK + b"\r\ndata: x\n\n", close=True) as server,
        an_upstream(f"https://127.0.0.1:{server.port}/v1", ca_file=str(papers.ca)) as up,
    ):
        assert await whole(up) == b"data: x\n\n"


async def test_a_large_answer_over_tls_arrives_whole(papers):
    body = b"x" * 3_000_000
    async with (
        a_tls_server(papers.ours, OK + b"content-length: %d\r\n\r\n" % len(body) + body) as server,
        an_upstream(f"https://127.0.0.1:{server.port}/v1", ca_file=str(papers.ca)) as up,
    ):
        for _ in range(2):
            assert await whole(up, limit=1 << 22) == body
        assert server.connections == 1


@pytest.mark.parametrize("trusted", [True, False], ids=["another's certificate", "an unknown CA"])
async def test_a_backend_that_can_not_prove_itself_sees_no_byte_of_a_request(papers, trusted):
    async with (
        a_tls_server(papers.anothers if trusted else papers.ours) as server,
        an_upstream(f"https://127.0.0.1:{server.port}/v1", ca_file=str(papers.ca) if trusted else None) as up,
    ):
        failed = await failure(up)

        assert (failed.kind, failed.sent, failed.message) == (FailureKind.CONNECT, False, "no connection: TLS failed")
        assert (server.requests, up.connections) == (0, 0)

"""Upstream models over HTTP, by aiohttp's client: implements ports.Upstreams, Upstream and Answer.

Destinations come from configuration alone, headers are built and never copied, and nothing is followed: no redirect,
no cookie, no environment proxy, no compressed body. Each backend has a session of its own, so that nothing of one
(connections, TLS settings, keys) can reach another.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Mapping

import aiohttp
from aiohttp.connector import AddrInfoType
from multidict import CIMultiDict
from yarl import URL

from gateway.backends.answers import HttpAnswer
from gateway.backends.bodies import JsonBody
from gateway.backends.failures import CLIENT_FAULTS, failure_of
from gateway.domain.catalog import Backend, Timeouts
from gateway.domain.faults import BackendFailed, FailureKind

READ_BUFFER_BYTES = 64 * 1024  # twice this per stream at most; aiohttp's default would be four times as much
KEEPALIVE_SECONDS = 4.0  # shorter than uvicorn's 5 s, which most model servers run on: a reused socket is a live one
KEEPALIVE_PROBE_SECONDS = 30  # a peer that vanished without a FIN is noticed within about two minutes
DRAIN_SECONDS = 900.0  # a backend taken out of the configuration may finish its longest stream


class HttpUpstreams:
    """All backends of the snapshot in force. `apply` at each reload; `close` at the end."""

    def __init__(self, *, drain_seconds: float = DRAIN_SECONDS) -> None:
        self._drain_seconds = drain_seconds
        self._upstreams: dict[str, HttpUpstream] = {}
        self._leaving: set[asyncio.Task[None]] = set()

    def get(self, backend: str) -> HttpUpstream:
        """The backend's upstream; KeyError for a name that no snapshot declared."""
        return self._upstreams[backend]

    def apply(self, backends: Mapping[str, Backend]) -> None:
        """Follow the configuration: new or changed backends get a new session, old ones finish what they carry.

        Needs a running loop. Raises ValueError for a url or CA file that can not be used; then nothing has changed.
        """
        kept = {name: old for name, old in self._upstreams.items() if backends.get(name) == old.backend}
        fresh = {name: backend for name, backend in backends.items() if name not in kept}
        for backend in fresh.values():
            _base_url(backend)
            _tls(backend)
        made = {name: HttpUpstream(backend) for name, backend in fresh.items()}
        gone = [old for name, old in self._upstreams.items() if name not in kept]
        self._upstreams = {**kept, **made}
        for old in gone:
            task = asyncio.get_running_loop().create_task(old.drain(self._drain_seconds))
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)

    async def close(self) -> None:
        """Close every connection, those of backends that are leaving too."""
        for task in tuple(self._leaving):
            task.cancel()
        await asyncio.gather(*self._leaving, return_exceptions=True)
        for upstream in self._upstreams.values():
            await upstream.close()
        self._upstreams = {}


class HttpUpstream:
    """One backend's connections. Raises ValueError if its url or CA file can not be used."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self._base = _base_url(backend)
        self._urls: dict[str, URL] = {}
        self._headers = {stream: _headers(backend, stream) for stream in (False, True)}
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._timeouts: dict[int, aiohttp.ClientTimeout] = {}
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0,  # `concurrent_max` says no at once, where the connector would queue in silence
                ssl=_tls(backend),
                keepalive_timeout=KEEPALIVE_SECONDS,
                socket_factory=_socket,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            read_bufsize=READ_BUFFER_BYTES,
        )

    @property
    def in_flight(self) -> int:
        """Attempts whose answer is not closed yet."""
        return self._in_flight

    async def send(
        self, path: str, body: bytes, *, stream: bool, timeouts: Timeouts, traceparent: str | None, request_id: str
    ) -> HttpAnswer:
        """POST `body` to `url + path`; returns when the response headers are here. Raises BackendFailed."""
        if self._in_flight >= self.backend.concurrent_max:
            most = self.backend.concurrent_max
            raise BackendFailed(FailureKind.OVERLOADED, f"{most} requests are in flight already", sent=False)
        headers = self._headers[stream].copy()
        headers["x-request-id"] = request_id
        if traceparent is not None:
            headers["traceparent"] = traceparent
        payload = JsonBody(body)
        sent_at = asyncio.get_running_loop().time()
        self._enter()
        try:
            response = await self._post(path, payload, headers, timeouts)
        except BaseException:
            self._leave()
            raise
        return HttpAnswer(response, timeouts, sent_at, self._leave)

    async def _post(
        self, path: str, payload: JsonBody, headers: CIMultiDict[str], timeouts: Timeouts
    ) -> aiohttp.ClientResponse:
        wait_s = min(timeouts.first_byte_ms, timeouts.total_ms) / 1_000
        try:
            async with asyncio.timeout(wait_s):
                response = await self._session.post(
                    self._url(path),
                    data=payload,
                    headers=headers,
                    allow_redirects=False,
                    timeout=self._client_timeout(timeouts.connect_ms),
                )
        except CLIENT_FAULTS as fault:
            raise failure_of(fault, sent=payload.sent) from fault
        except TimeoutError as fault:
            raise BackendFailed(
                FailureKind.TIMEOUT if payload.sent else FailureKind.CONNECT,
                f"no answer within {wait_s:g} s",
                sent=payload.sent,
            ) from fault
        refused = _unacceptable(response)
        if refused is not None:
            response.close()
            raise BackendFailed(FailureKind.PROTOCOL, refused, sent=True, status=response.status)
        return response

    def _url(self, path: str) -> URL:
        url = self._urls.get(path)
        if url is None:
            url = self._urls[path] = URL(self._base + path)  # three paths exist, all ours
        return url

    def _client_timeout(self, connect_ms: int) -> aiohttp.ClientTimeout:
        """Only connecting is timed by aiohttp; the rest is ours, since its read timer costs something per chunk."""
        timeout = self._timeouts.get(connect_ms)
        if timeout is None:
            seconds = connect_ms / 1_000
            timeout = aiohttp.ClientTimeout(total=None, connect=seconds, sock_connect=seconds, sock_read=None)
            self._timeouts = {connect_ms: timeout}
        return timeout

    def _enter(self) -> None:
        self._in_flight += 1
        self._idle.clear()

    def _leave(self) -> None:
        self._in_flight -= 1
        if not self._in_flight:
            self._idle.set()

    async def drain(self, seconds: float) -> None:
        """Close when the last answer is, or when the time is up."""
        try:
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        except TimeoutError:
            pass
        finally:
            await self.close()

    async def close(self) -> None:
        """Close all connections, those in use too."""
        await self._session.close()


def _base_url(backend: Backend) -> str:
    url = URL(backend.url)
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError(f"backend {backend.name}: url must be http:// or https:// with a host")
    if url.user is not None or url.password is not None or url.query_string or url.fragment:
        raise ValueError(f"backend {backend.name}: url must have no user, password, query or fragment")
    return str(url).rstrip("/")


def _headers(backend: Backend, stream: bool) -> CIMultiDict[str]:
    """Everything an upstream is told beside the body. The backend's key goes in last, so nothing can stand for it."""
    headers = CIMultiDict(backend.headers)
    headers["content-type"] = "application/json"
    headers["accept"] = "text/event-stream" if stream else "application/json"
    headers["accept-encoding"] = "identity"
    headers["user-agent"] = "joulegate"  # set here, or aiohttp names itself and its version
    if backend.api_key is not None:
        headers["authorization"] = f"Bearer {backend.api_key}"
    return headers


def _unacceptable(response: aiohttp.ClientResponse) -> str | None:
    """Why an answer must not be relayed at all."""
    if response.status < 200 or 300 <= response.status < 400:
        return f"the backend answered {response.status}; redirects are never followed"
    encoding = response.headers.get("content-encoding")
    if encoding is not None and encoding.lower() != "identity":
        return "the backend compressed its answer although told not to"
    return None


def _tls(backend: Backend) -> ssl.SSLContext | bool:
    """Verified always; against the backend's own CA file where it names one."""
    if backend.ca_file is None:
        return True
    try:
        return ssl.create_default_context(cafile=backend.ca_file)
    except (OSError, ssl.SSLError) as fault:
        raise ValueError(f"backend {backend.name}: ca_file can not be used: {fault}") from fault


def _socket(address: AddrInfoType) -> socket.socket:
    """A socket that notices a peer which vanished. aiohttp sets TCP_NODELAY itself."""
    family, kind, protocol, _, _ = address
    made = socket.socket(family=family, type=kind, proto=protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_PROBE_SECONDS)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_PROBE_SECONDS)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
    return made

"""One backend deployment, as the pipeline sees it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Protocol

from gateway.domain.catalog import Timeouts


class Answer(Protocol):
    """An upstream's answer whose headers are here and whose body is not yet. Close it in any case."""

    status: int
    headers: Mapping[str, str]  # lower-case names, already filtered to what may go down

    async def body(self, limit: int) -> bytes:
        """The whole body. Raises BackendFailed (sent=True) if cut short, silent too long, or above `limit` bytes."""
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives, never joined or waited for. Raises BackendFailed (sent=True) when it breaks."""
        ...

    def close(self) -> None:
        """Free the connection: back to the pool when the body was read to its end, else closed at once."""
        ...


class Upstream(Protocol):
    """Sends to one backend. No redirects, no cookies, no environment proxies; headers are built, never copied."""

    async def send(
        self, path: str, body: bytes, *, stream: bool, timeouts: Timeouts, traceparent: str | None, request_id: str
    ) -> Answer:
        """POST `body` to `url + path`; returns when the response headers are here. Raises BackendFailed.

        A status of 400 or above is an answer, not an exception.
        """
        ...


class Upstreams(Protocol):
    """Finds the upstream of a backend by name."""

    def get(self, backend: str) -> Upstream:
        """The backend's upstream; KeyError for a name that no snapshot declared."""
        ...

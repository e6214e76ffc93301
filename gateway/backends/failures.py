"""aiohttp's errors, translated in one table: what kind of failure, and whether the backend may bill."""

from __future__ import annotations

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError

from gateway.domain.faults import BackendFailed, FailureKind

CLIENT_FAULTS = (aiohttp.ClientError, HttpProcessingError, ConnectionError)

# The first that fits. The messages say nothing of addresses or headers: they go to callers and logs.
_TABLE: tuple[tuple[type[BaseException], FailureKind, str], ...] = (
    (aiohttp.ConnectionTimeoutError, FailureKind.CONNECT, "no connection in time"),
    (aiohttp.ClientConnectorError, FailureKind.CONNECT, "no connection"),
    (aiohttp.ClientSSLError, FailureKind.CONNECT, "no connection: TLS failed"),
    (aiohttp.ClientPayloadError, FailureKind.PROTOCOL, "the answer was cut short"),
    (aiohttp.ClientResponseError, FailureKind.PROTOCOL, "the answer is not HTTP"),
    (HttpProcessingError, FailureKind.PROTOCOL, "the answer is not HTTP"),
    (aiohttp.ServerDisconnectedError, FailureKind.RESET, "the connection was closed without an answer"),
    (OSError, FailureKind.RESET, "the connection broke"),  # ClientOSError is one
    (aiohttp.ClientConnectionError, FailureKind.RESET, "the connection broke"),
)


def failure_of(fault: BaseException, *, sent: bool) -> BackendFailed:
    """The domain's name for a library's error. Without a connection nothing was sent, whatever `sent` says."""
    if isinstance(fault, aiohttp.ClientPayloadError) and isinstance(fault.__cause__, ConnectionResetError):
        return BackendFailed(FailureKind.RESET, "the connection broke", sent=sent)
    for error, kind, message in _TABLE:
        if isinstance(fault, error):
            return BackendFailed(kind, message, sent=sent and kind is not FailureKind.CONNECT)
    return BackendFailed(FailureKind.PROTOCOL, "the exchange failed", sent=sent)

"""What can fail in the world, and whose fault it was. A refusal is a value, not one of these."""

from __future__ import annotations

from enum import StrEnum


class JoulegateError(Exception):
    """Root of all exceptions this house raises on purpose."""


class InvalidRequest(JoulegateError):
    """The caller's fault: malformed, too large or unpriceable. `param` names the field, `code` the fault."""

    def __init__(self, message: str, *, param: str | None = None, code: str = "invalid_request", status: int = 400):
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code
        self.status = status


class FailureKind(StrEnum):
    """How an upstream attempt failed; label of `joulegate_upstream_errors_total{class}`."""

    CONNECT = "connect"  # no connection: nothing was sent
    TIMEOUT = "timeout"  # no first byte, or silence in between
    RESET = "reset"  # the connection broke after the request was sent
    PROTOCOL = "protocol"  # an answer that is not HTTP, not JSON, a redirect, too large, or cut short
    RATE_LIMITED = "rate_limited"  # 429
    OVERLOADED = "overloaded"  # 503
    SERVER = "server"  # any other 5xx
    AUTH = "auth"  # 401 or 403: our operator's fault
    REJECTED = "rejected"  # any other 4xx: the caller's fault, passed verbatim


class BackendFailed(JoulegateError):
    """An upstream's fault. `sent`: whether any byte of the request may have reached it, so whether it may bill."""

    def __init__(
        self,
        kind: FailureKind,
        message: str,
        *,
        sent: bool,
        status: int | None = None,
        retry_after_s: float | None = None,
    ):
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.sent = sent
        self.status = status
        self.retry_after_s = retry_after_s


class LedgerUnavailable(JoulegateError):
    """Redis did not answer in time, or refuses writes; the verdict of the step is unknown."""


class BadDocument(JoulegateError):
    """A configuration, policy or profile file is wrong. The message is `file:line: path: what, and the remedy`."""

"""What HTTP parsers let through and we refuse, because two readers of one message may take it differently.

The parser (llhttp, strict) already answers most hostile framings with 400; these are the rest.
"""

from __future__ import annotations

import re

from gateway.domain.faults import InvalidRequest

HOST = re.compile(rb"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?\Z")
VERSIONS = ((1, 1), (1, 0))


def refuse(message: str, code: str = "bad_framing", param: str | None = None) -> InvalidRequest:
    """A framing fault; the connection is closed after its answer."""
    return InvalidRequest(message, code=code, param=param)


def check_framing(version: tuple[int, int], method: str, target: str, found: dict[bytes, bytes]) -> None:
    """Raise InvalidRequest for a message we do not want to understand. `found`: the headers we read, lower case."""
    if version not in VERSIONS:
        raise refuse("This port speaks HTTP/1.1 and HTTP/1.0 only.", "http_version_not_supported")
    if not target.startswith("/"):  # absolute-form, authority-form and `*`: a proxy's targets, and we are not one
        raise refuse("The request target must be a path.", "invalid_target")
    chunked = b"transfer-encoding" in found
    if chunked and version == (1, 0):
        raise refuse("HTTP/1.0 has no Transfer-Encoding.")  # RFC 9112 section 6.1 calls it faulty framing
    if method == "GET" and (chunked or found.get(b"content-length", b"0").strip(b"0")):
        raise refuse("A GET request has no body here.", "unexpected_body")


def check_host(host: bytes | None, version: tuple[int, int], allowed: frozenset[str]) -> None:
    """A syntactically valid Host (HTTP/1.0 may leave it out), of the allow-list where the operator set one."""
    if host is None:
        if version == (1, 1) or allowed:
            raise refuse("A Host header is required.", "invalid_host", "host")
        return
    if HOST.match(host) is None:
        raise refuse("The Host header is not a host.", "invalid_host", "host")
    if allowed and _without_port(host.decode("ascii")).lower() not in allowed:
        raise refuse("This gateway does not answer for that host.", "invalid_host", "host")


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[: host.index("]") + 1]
    return host.partition(":")[0]

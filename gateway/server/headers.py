"""What a caller may say in headers: an allow-list, read in one pass; everything else is ignored and goes nowhere."""

from __future__ import annotations

import re
from collections.abc import Iterable

from gateway.domain.call import Caller
from gateway.domain.faults import InvalidRequest
from gateway.domain.tenancy import ID_PATTERN

CREDENTIALS = (b"authorization", b"x-api-key", b"api-key")
TAGS_MAX = 16
DEADLINE_MS_MAX = 24 * 3_600_000
KEY_BYTES_MAX = 512
IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,255}\Z")
TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}\Z")  # W3C trace context, v00
SAID = frozenset(
    {
        b"idempotency-key",
        b"traceparent",
        b"x-joulegate-class",
        b"x-joulegate-deadline-ms",
        b"x-joulegate-session",
        b"x-joulegate-tags",
        b"x-joulegate-usage",
        b"x-request-id",
    }
)
RETRY = b"x-stainless-retry-count"
READ = SAID | {*CREDENTIALS, RETRY, b"content-encoding", b"content-length", b"expect", b"host", b"transfer-encoding"}
IGNORED = (  # what SDKs send with every request, and means nothing here
    b"accept",
    b"accept-encoding",
    b"connection",
    b"content-type",
    b"user-agent",
    b"x-stainless-arch",
    b"x-stainless-async",
    b"x-stainless-lang",
    b"x-stainless-os",
    b"x-stainless-package-version",
    b"x-stainless-read-timeout",
    b"x-stainless-runtime",
    b"x-stainless-runtime-version",
)


def _spellings() -> dict[bytes, bytes | None]:
    """Names as clients write them -> the name we read, None for one we do not: spares a `lower` for each header."""
    plain = {name: name for name in READ} | dict.fromkeys(IGNORED)
    return plain | {name.title(): meaning for name, meaning in plain.items()}


SPELLINGS = _spellings()


def collect(raw: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """The headers we read, names in lower case. Raises InvalidRequest for one sent twice, and for a `_` in any name.

    A name with `_` is another name to us and the same one to a CGI-style reader behind us: a way to smuggle.
    """
    found: dict[bytes, bytes] = {}
    for name, value in raw:
        try:
            lower = SPELLINGS[name]
        except KeyError:
            lower = _unusual(name)
        if lower is not None:
            if lower in found:
                raise _invalid(lower, "was sent twice")
            found[lower] = value
    return found


def _unusual(name: bytes) -> bytes | None:
    if b"_" in name:
        raise InvalidRequest("Header names with an underscore are refused.", code="invalid_header")
    lower = name.lower()
    return lower if lower in READ else None


def credential(found: dict[bytes, bytes]) -> bytes | None:
    """The one key presented, or None. Raises InvalidRequest for two: which of them would be charged?"""
    bearer, key = found.get(b"authorization"), found.get(b"x-api-key")
    if (bearer is not None) + (key is not None) + (b"api-key" in found) > 1:
        raise InvalidRequest(
            "Send one credential: Authorization or x-api-key, not both.",
            code="several_credentials",
            param="authorization",
        )
    if bearer is not None:
        scheme, _, key = bearer.partition(b" ")
        if scheme.lower() != b"bearer":
            return None
    if key is None:
        return None
    key = key.strip()
    return key if 0 < len(key) <= KEY_BYTES_MAX else None


def client_request_id(found: dict[bytes, bytes]) -> str | None:
    """The caller's own id if it is a valid one; others are not echoed."""
    value = found.get(b"x-request-id")
    return None if value is None else _matching(value, ID_PATTERN)


def caller_of(found: dict[bytes, bytes], request_id: str) -> Caller:
    """All the headers say beside the key. Raises InvalidRequest that names the header at fault."""
    sdk_retry = _sdk_retry(found.get(RETRY, b""))
    if SAID.isdisjoint(found):  # most requests; a third of what follows
        return Caller(request_id, sdk_retry=sdk_retry)
    return Caller(
        request_id=request_id,
        session=_id(found, b"x-joulegate-session"),
        sla_class=_id(found, b"x-joulegate-class"),
        tags=_tags(found.get(b"x-joulegate-tags")),
        deadline_ms=_deadline_ms(found.get(b"x-joulegate-deadline-ms")),
        idempotency_key=_idempotency_key(found.get(b"idempotency-key")),
        traceparent=_matching(found.get(b"traceparent", b""), TRACEPARENT),  # a broken one is dropped, as W3C asks
        client_request_id=client_request_id(found),
        usage_in_headers_only=_usage_in_headers_only(found.get(b"x-joulegate-usage")),
        sdk_retry=sdk_retry,
    )


def _invalid(name: bytes, what: str) -> InvalidRequest:
    header = name.decode("ascii", "replace")
    return InvalidRequest(f"Header {header} {what}.", param=header, code="invalid_header")


def _matching(value: bytes, pattern: re.Pattern[str]) -> str | None:
    text = value.decode("ascii", "replace")
    return text if pattern.match(text) else None


def _id(found: dict[bytes, bytes], name: bytes) -> str | None:
    value = found.get(name)
    if value is None:
        return None
    text = _matching(value, ID_PATTERN)
    if text is None:
        raise _invalid(name, "must be 1 to 64 of A-Z a-z 0-9 _ -")
    return text


def _tags(value: bytes | None) -> tuple[tuple[str, str], ...]:
    if value is None:
        return ()
    pairs = [pair.strip().partition("=") for pair in value.decode("ascii", "replace").split(",")]
    if len(pairs) > TAGS_MAX:
        raise _invalid(b"x-joulegate-tags", f"holds more than {TAGS_MAX} tags")
    if not all(ID_PATTERN.match(key) and ID_PATTERN.match(tag) for key, _, tag in pairs):
        raise _invalid(b"x-joulegate-tags", "must read k=v,k=v, each of A-Z a-z 0-9 _ -, 64 at most")
    if len({key for key, _, _ in pairs}) < len(pairs):
        raise _invalid(b"x-joulegate-tags", "names a tag twice")
    return tuple((key, tag) for key, _, tag in pairs)


def _deadline_ms(value: bytes | None) -> int | None:
    if value is None:
        return None
    if not (value.isdigit() and len(value) <= 8 and 1 <= int(value) <= DEADLINE_MS_MAX):
        raise _invalid(b"x-joulegate-deadline-ms", f"must be a whole number from 1 to {DEADLINE_MS_MAX}")
    return int(value)


def _idempotency_key(value: bytes | None) -> str | None:
    if value is None:
        return None
    text = _matching(value, IDEMPOTENCY_KEY)
    if text is None:
        raise _invalid(b"idempotency-key", "must be 1 to 255 printable characters without spaces")
    return text


def _usage_in_headers_only(value: bytes | None) -> bool:
    if value is None:
        return False
    if value not in (b"headers", b"body"):
        raise _invalid(b"x-joulegate-usage", "must be `headers` or `body`")
    return value == b"headers"


def _sdk_retry(value: bytes) -> int:
    return int(value) if value.isdigit() and len(value) <= 3 else 0

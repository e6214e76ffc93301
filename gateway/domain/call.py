"""A caller's request, as far as we act on it. Unknown fields of the body travel untouched."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from gateway.domain.value import value


class CallKind(StrEnum):
    """Which surface was asked; also the capability a member needs to serve it."""

    CHAT = "chat"
    COMPLETION = "completion"
    EMBEDDING = "embedding"


@value
class CountedText:
    """What the token counter is given of one message (or prompt, or embedding input).

    text: its characters, parts joined. extra_tokens: overhead known without counting (role, name, tool framing,
    images by rule). Equal texts count alike, so a counter may cache by content.
    """

    text: str
    extra_tokens: int = 0


class _Watched:
    """What a weak reference can point at: counts of a call are kept as long as the call is."""

    __slots__ = ("__weakref__",)


@value
class ModelCall(_Watched):
    """One parsed request. `body` is the caller's JSON and is never changed in place.

    needs: capabilities beyond the kind, of {"tools", "vision", "audio", "json", "logprobs"}.
    output_tokens_max: the caller's own bound over all choices' length (per choice), None if it set none.
    token_ids: prompt tokens given as ids (completions, embeddings), already exact.
    """

    kind: CallKind
    model: str
    stream: bool
    wants_usage: bool
    output_tokens_max: int | None
    choices: int
    texts: tuple[CountedText, ...]
    fixed_tokens: int
    token_ids: int
    needs: frozenset[str]
    body: dict[str, Any]
    body_bytes: int


@value
class Caller:
    """What the headers of one request say beside its body."""

    request_id: str
    session: str | None = None
    sla_class: str | None = None
    tags: tuple[tuple[str, str], ...] = ()
    deadline_ms: int | None = None
    idempotency_key: str | None = None
    traceparent: str | None = None
    client_request_id: str | None = None
    usage_in_headers_only: bool = False
    sdk_retry: int = 0

"""From a caller's body to a ModelCall, and from a ModelCall to the body an upstream gets."""

from __future__ import annotations

from typing import Any

import orjson

from gateway.dialects.checks import boolean, deeper_than, described, integer, invalid, optional_object
from gateway.dialects.texts import SCHEMA_FIELDS, TOKENS_PRIMING_REPLY, MessageReader, prompt_texts, schema_texts
from gateway.domain.call import CallKind, CountedText, ModelCall
from gateway.domain.catalog import Limits, Member
from gateway.domain.faults import InvalidRequest

MODEL_CHARACTERS_MAX = 256
OUTPUT_TOKENS_MAX = 10_000_000  # a hundred times the longest answer on offer; keeps the sums far from 2^53
BEST_OF_MAX = 20
# Every spelling of the caller's bound that some server obeys. The largest given one is what a hold must cover.
BOUND_FIELDS = ("max_tokens", "max_completion_tokens", "n_predict")
# A body that has none of them, as most have, is told so by one look instead of one at each (1 us less a request).
NEED_FIELDS = frozenset({"tools", "functions", "logprobs", "top_logprobs", "response_format", "modalities"})
NO_NEEDS: frozenset[str] = frozenset()

# Looking up an enum's member takes 0.15 us each time.
CHAT, COMPLETION, EMBEDDING = CallKind.CHAT, CallKind.COMPLETION, CallKind.EMBEDDING

_PATHS = {CHAT: "/chat/completions", COMPLETION: "/completions", EMBEDDING: "/embeddings"}


def upstream_path(kind: CallKind) -> str:
    """Appended to a backend's `url`, which ends in `/v1` or whatever its server calls it."""
    return _PATHS[kind]


def parse(kind: CallKind, body: bytes, limits: Limits) -> ModelCall:
    """Read a body. Raises InvalidRequest naming the field and the remedy; what we do not act on is not looked at.

    Of duplicate keys the last one counts, and `upstream_body` writes what was read: what is priced is what is sent.
    """
    parsed = _loaded(body, limits)
    model = _model(parsed)
    if kind is CHAT:
        return _chat(parsed, model, len(body), limits)
    if kind is COMPLETION:
        return _completion(parsed, model, len(body), limits)
    return _embedding(parsed, model, len(body), limits)


def _loaded(body: bytes, limits: Limits) -> dict[str, Any]:
    if len(body) > limits.body_bytes:
        raise InvalidRequest(f"the body is larger than {limits.body_bytes} bytes", code="request_too_large", status=413)
    if deeper_than(body, limits.json_depth):
        raise InvalidRequest(f"the body nests deeper than {limits.json_depth} levels", code="json_too_deep")
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError as fault:
        raise InvalidRequest(f"the body is not valid JSON: {fault}", code="invalid_json") from None
    if not isinstance(parsed, dict):
        raise InvalidRequest(f"the body must be a JSON object, not {described(parsed)}", code="invalid_json")
    return parsed


def _model(body: dict[str, Any]) -> str:
    model = body.get("model")
    if not isinstance(model, str):
        raise invalid("model", f"must be a string, not {described(model)}; GET /v1/models lists them", "invalid_type")
    if not 1 <= len(model) <= MODEL_CHARACTERS_MAX:
        raise invalid("model", f"must have 1 to {MODEL_CHARACTERS_MAX} characters")
    return model


def _chat(body: dict[str, Any], model: str, size: int, limits: Limits) -> ModelCall:
    messages = body.get("messages")
    if not isinstance(messages, list):
        raise invalid("messages", f"must be an array, not {described(messages)}", "invalid_type")
    if not messages:
        raise invalid("messages", "must have at least one message")
    if len(messages) > limits.messages:
        raise invalid("messages", f"has {len(messages)} entries; at most {limits.messages} are allowed")
    reader = MessageReader(limits.content_parts)
    texts = reader.read(messages)
    needs = reader.needs | _needs(body)
    if not SCHEMA_FIELDS.isdisjoint(body):
        texts.extend(schema_texts(body))
    stream, wants_usage = _streaming(body)
    return ModelCall(
        kind=CHAT,
        model=model,
        stream=stream,
        wants_usage=wants_usage,
        output_tokens_max=_bound(body, least=1),
        choices=integer(body, "n", 1, limits.choices) or 1,
        texts=tuple(texts),
        fixed_tokens=TOKENS_PRIMING_REPLY,
        token_ids=0,
        needs=frozenset(needs) if needs else NO_NEEDS,
        body=body,
        body_bytes=size,
    )


def _completion(body: dict[str, Any], model: str, size: int, limits: Limits) -> ModelCall:
    texts, token_ids, prompts = prompt_texts(body, "prompt", limits.messages)
    suffix = body.get("suffix")
    if isinstance(suffix, str):
        texts.append(CountedText(suffix))
    asked = integer(body, "n", 1, limits.choices) or 1
    sampled = max(asked, integer(body, "best_of", 1, BEST_OF_MAX) or 1)  # all candidates are generated, and billed
    stream, wants_usage = _streaming(body)
    logprobs = body.get("logprobs")
    return ModelCall(
        kind=COMPLETION,
        model=model,
        stream=stream,
        wants_usage=wants_usage,
        output_tokens_max=_bound(body, least=0),
        choices=sampled * prompts,
        texts=tuple(texts),
        fixed_tokens=0,
        token_ids=token_ids,
        needs=frozenset() if logprobs is None or logprobs is False else frozenset({"logprobs"}),
        body=body,
        body_bytes=size,
    )


def _embedding(body: dict[str, Any], model: str, size: int, limits: Limits) -> ModelCall:
    texts, token_ids, _ = prompt_texts(body, "input", limits.messages)
    return ModelCall(
        kind=EMBEDDING,
        model=model,
        stream=False,
        wants_usage=False,
        output_tokens_max=0,
        choices=1,
        texts=tuple(texts),
        fixed_tokens=0,
        token_ids=token_ids,
        needs=frozenset(),
        body=body,
        body_bytes=size,
    )


def _streaming(body: dict[str, Any]) -> tuple[bool, bool]:
    """Whether the answer streams, and whether the caller asked for the usage event."""
    stream = boolean(body, "stream")
    if "stream_options" not in body:
        return stream, False
    options = optional_object(body, "stream_options")
    wants_usage = boolean(options, "include_usage", "stream_options.include_usage")
    return stream, stream and wants_usage


def _bound(body: dict[str, Any], least: int) -> int | None:
    """The caller's bound on the length of one choice; of several spellings the largest, since a server obeys any."""
    largest = None
    for name in BOUND_FIELDS:
        bound = integer(body, name, least, OUTPUT_TOKENS_MAX)
        if bound is not None and (largest is None or bound > largest):
            largest = bound
    return largest


def _needs(body: dict[str, Any]) -> set[str]:
    needs: set[str] = set()
    if NEED_FIELDS.isdisjoint(body):
        return needs
    if body.get("tools") or body.get("functions"):
        needs.add("tools")
    if boolean(body, "logprobs") or body.get("top_logprobs"):
        needs.add("logprobs")
    if optional_object(body, "response_format").get("type") in ("json_object", "json_schema"):
        needs.add("json")
    modalities = body.get("modalities")
    if isinstance(modalities, list) and "audio" in modalities:
        needs.add("audio")
    return needs


def upstream_body(call: ModelCall, member: Member) -> bytes:
    """The caller's body for this member: its name of the model, usage asked for, fields it can not take left out."""
    body = {**call.body, "model": member.upstream_model}
    if call.stream and not call.wants_usage and member.supports_include_usage:
        body["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}
    if member.max_tokens_field is not None:
        _rename_bound(body, member.max_tokens_field)
    for name in member.drop_fields:
        body.pop(name, None)
    return orjson.dumps(body)


def _rename_bound(body: dict[str, Any], spelling: str) -> None:
    """Leave one bound, spelled as this backend knows it; of several the largest, as it was priced."""
    given = [bound for name in BOUND_FIELDS if (bound := body.pop(name, None)) is not None]
    if given:
        body[spelling] = max(given)

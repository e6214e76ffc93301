"""Whole JSON answers: what they used, the text to count if they do not say, and the price written into them."""

from __future__ import annotations

import json
from typing import Any

import orjson

from gateway.dialects.usage import PROVIDER, priced_usage, read_usage, with_price
from gateway.domain.bill import Bill
from gateway.domain.call import CallKind
from gateway.domain.faults import BackendFailed, FailureKind
from gateway.domain.usage import TokenUsage
from gateway.domain.value import value

_USAGE_MARK = b'"usage"'
_PLAIN = frozenset({"role", "content", "annotations"})  # nearly every message says nothing else: 0.5 us, not 1.2
_DECODER = json.JSONDecoder()


@value
class AnswerFacts:
    """One answer as it came (`body`), parsed, and the usage it reports if that is sane."""

    kind: CallKind
    body: bytes
    parsed: dict[str, Any]
    usage: TokenUsage | None

    @property
    def output_texts(self) -> tuple[str, ...]:
        """One text per choice, for counting; worked out when asked for, since most answers report usage."""
        return tuple(choice_text(choice) for choice in _list(self.parsed.get("choices")))


def read_answer(kind: CallKind, body: bytes) -> AnswerFacts:
    """Read a 200 answer. Raises BackendFailed where it is not JSON, not an object, or an error in disguise."""
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError as fault:
        raise BackendFailed(FailureKind.PROTOCOL, "the backend's answer is not JSON", sent=True) from fault
    if not isinstance(parsed, dict):
        raise BackendFailed(FailureKind.PROTOCOL, "the backend's answer is not a JSON object", sent=True)
    if parsed.get("error") and "choices" not in parsed and "data" not in parsed:
        raise BackendFailed(FailureKind.PROTOCOL, "the backend answered 200 with an error inside", sent=True)
    return AnswerFacts(kind, body, parsed, read_usage(kind, parsed.get("usage")))


def price_answer(facts: AnswerFacts, usage: TokenUsage, bill: Bill) -> bytes:
    """The answer with `usage.cost` and `usage.joulegate`. Where its own usage was absent or not sane, ours is written.

    Everything else keeps its bytes where the usage object can be found without doubt.
    """
    reported = facts.parsed.get("usage")
    if facts.usage is None or not isinstance(reported, dict):
        return orjson.dumps({**facts.parsed, "usage": priced_usage(usage, bill)})
    basis = None if usage.basis is PROVIDER else usage.basis.value
    priced = with_price(reported, bill, basis)
    if priced == reported:
        return facts.body  # nothing that this caller may see
    return _spliced(facts.body, reported, priced) or orjson.dumps({**facts.parsed, "usage": priced})


def _spliced(body: bytes, reported: dict[str, Any], priced: dict[str, Any]) -> bytes | None:
    """`body` with its usage object replaced; None unless the key stands there once, with that very object."""
    key = body.rfind(_USAGE_MARK)
    start = body.find(b"{", key)
    if key < 0 or start < 0 or body.count(_USAGE_MARK) != 1:
        return None
    text = body[start:].decode()
    try:
        found, end = _DECODER.raw_decode(text)
    except (ValueError, RecursionError):
        return None
    return b"".join((body[:start], orjson.dumps(priced), text[end:].encode())) if found == reported else None


def choice_text(choice: object) -> str:
    """All that one choice says: content, reasoning, refusal, tool calls; of a whole message or of a stream's delta."""
    if not isinstance(choice, dict):
        return ""
    text = choice.get("text")
    if isinstance(text, str):
        return text
    message = choice.get("message")
    if not isinstance(message, dict):
        message = choice.get("delta")
    return message_text(message) if isinstance(message, dict) else ""


def message_text(message: dict[str, Any]) -> str:
    """What an assistant's message or delta says, parts joined."""
    content = message.get("content")
    if isinstance(content, str) and {name for name, said in message.items() if said} <= _PLAIN:
        return content
    thoughts = message.get("reasoning_content") or message.get("reasoning")  # some servers send both, the same
    pieces = [said for said in (thoughts, content, message.get("refusal")) if isinstance(said, str)]
    parts = [message.get("audio"), *_list(content)]
    for part in parts:
        said = (part.get("text"), part.get("transcript")) if isinstance(part, dict) else ()
        pieces += [text for text in said if isinstance(text, str)]
    for call in (*_list(message.get("tool_calls")), {"function": message.get("function_call")}):
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict):
            pieces += [function[name] for name in ("name", "arguments") if isinstance(function.get(name), str)]
    return "".join(pieces)


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def error_body(message: str, type_: str, param: str | None, code: str | None) -> bytes:
    """An error in OpenAI's shape."""
    return orjson.dumps({"error": {"message": message, "type": type_, "param": param, "code": code}})

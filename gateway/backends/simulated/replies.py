"""The answers of a simulated model as OpenAI writes them: JSON objects, and events of a stream."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.backends.simulated.faults import UsageStyle
from gateway.backends.simulated.speech import Speech
from gateway.domain.call import CallKind

FINGERPRINT = "simulated"
_OBJECTS = {CallKind.CHAT: "chat.completion", CallKind.COMPLETION: "text_completion"}
_HOSTILE = {"prompt_tokens": -5, "completion_tokens": 2**40, "total_tokens": True}


@dataclass(frozen=True, slots=True)
class Spent:
    """Tokens of one answer as the server counts them."""

    prompt: int
    cached: int
    output: int


@dataclass(frozen=True, slots=True)
class Replies:
    """Shapes one request's answer. `asked_usage`: by stream_options."""

    kind: CallKind
    model: str
    id: str
    created_s: int
    style: UsageStyle
    asked_usage: bool

    def whole(self, speeches: Sequence[Speech], spent: Spent) -> dict[str, Any]:
        """A JSON answer."""
        choices = [self._choice(index, speech) for index, speech in enumerate(speeches)]
        answer = self._head(_OBJECTS[self.kind], choices)
        usage = self.usage(spent)
        return answer if usage is None else {**answer, "usage": usage}

    def usage(self, spent: Spent) -> dict[str, Any] | None:
        """The usage object in the style in force."""
        if self.style is UsageStyle.NONE:
            return None
        if self.style is UsageStyle.HOSTILE:
            return dict(_HOSTILE)
        return {
            "prompt_tokens": spent.prompt,
            "completion_tokens": spent.output,
            "total_tokens": spent.prompt + spent.output,
            "prompt_tokens_details": {"cached_tokens": spent.cached},
        }

    def opening(self, choices: int) -> Iterator[bytes]:
        """The events before the first token: chat streams name the role."""
        if self.kind is CallKind.CHAT:
            for index in range(choices):
                yield self._event(
                    [{"index": index, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]
                )

    def piece(self, index: int, number: int, speech: Speech) -> bytes:
        """The event of one piece of one choice."""
        return self._event([{"index": index, **self._delta(number, speech), "finish_reason": None}])

    def finish(self, index: int, speech: Speech, spent: Spent | None) -> bytes:
        """The event that ends one choice; `spent` with the last one."""
        empty: dict[str, Any] = {"delta": {}} if self.kind is CallKind.CHAT else {"text": ""}
        choices = [{"index": index, **empty, "finish_reason": speech.finish_reason}]
        on_finish = spent is not None and self.style is UsageStyle.FINISH_CHUNK
        return self._event(choices, self.usage(spent) if on_finish and spent is not None else None)

    def ending(self, spent: Spent) -> Iterator[bytes]:
        """The usage event where one is due, and the end mark."""
        separate = self.style in (UsageStyle.NORMAL, UsageStyle.NULL_FIELDS, UsageStyle.HOSTILE)
        if self.asked_usage and separate:
            yield self._event([], self.usage(spent))
        yield b"data: [DONE]\n\n"

    def _delta(self, number: int, speech: Speech) -> dict[str, Any]:
        piece = speech.pieces[number]
        if self.kind is CallKind.COMPLETION:
            return {"text": piece}
        if speech.tool is None:
            return {"delta": {"content": piece}}
        call: dict[str, Any] = {"index": 0, "function": {"arguments": piece}}
        if number == 0:
            call |= {"id": f"call_{self.id[-8:]}", "type": "function"}
            call["function"] = {"name": speech.tool, "arguments": piece}
        return {"delta": {"tool_calls": [call]}}

    def _choice(self, index: int, speech: Speech) -> dict[str, Any]:
        if self.kind is CallKind.COMPLETION:
            return {"index": index, "text": speech.text, "logprobs": None, "finish_reason": speech.finish_reason}
        message: dict[str, Any] = {"role": "assistant", "content": speech.text, "refusal": None}
        if speech.tool is not None:
            function = {"name": speech.tool, "arguments": speech.text}
            message["content"] = None
            message["tool_calls"] = [{"id": f"call_{self.id[-8:]}", "type": "function", "function": function}]
        return {"index": index, "message": message, "logprobs": None, "finish_reason": speech.finish_reason}

    def _event(self, choices: list[dict[str, Any]], usage: dict[str, Any] | None = None) -> bytes:
        name = "chat.completion.chunk" if self.kind is CallKind.CHAT else "text_completion"
        event = self._head(name, choices)
        null_fields = self.style is UsageStyle.NULL_FIELDS or (self.style is UsageStyle.NORMAL and self.asked_usage)
        if usage is not None or null_fields:
            event["usage"] = usage
        return b"data: " + orjson.dumps(event) + b"\n\n"

    def _head(self, name: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": name,
            "created": self.created_s,
            "model": self.model,
            "system_fingerprint": FINGERPRINT,
            "choices": choices,
        }

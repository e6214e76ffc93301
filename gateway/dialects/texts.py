"""What the token counter is given of a body: one text per message, and the schemas as texts of their own.

Overheads follow OpenAI's published counting rule for its chat models (cookbook, "How to count tokens with tiktoken"):
3 tokens a message and the role as text, 1 more for a name, 3 that prime the reply. Schemas are counted as compact
JSON, which leans up: the chat template writes them shorter. Each text is counted by itself, so the counter knows it
again.

Parts that are no text are counted by rule, leaning up since a hold must cover them; what is settled is the backend's:

    image, detail low      85         the published base
    image, otherwise       1445       base + 170 for each of the 8 tiles of the largest picture after scaling
    audio                  1 token per 100 ms; WAV taken as 8 kHz 16 bit mono, anything else as 32 kbit/s
    file, unknown part     1 token per 50 characters of what it carries
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from gateway.dialects.checks import described, invalid, optional_array
from gateway.domain.call import CountedText

TOKENS_PER_MESSAGE = 3
TOKENS_PER_NAME = 1
TOKENS_PRIMING_REPLY = 3
TOKENS_PER_CALL = 3  # framing of one tool call in a message; unpublished, taken to be like a message
IMAGE_LOW_TOKENS = 85
IMAGE_TOKENS = 85 + 8 * 170
WAV_BASE64_PER_TOKEN = 1_600 * 4 // 3  # 100 ms of 8 kHz 16 bit, in base64 characters
AUDIO_BASE64_PER_TOKEN = 400 * 4 // 3  # 100 ms of 32 kbit/s
OPAQUE_CHARACTERS_PER_TOKEN = 50

ONE_TOKEN_ROLES = frozenset({"system", "user", "assistant", "developer", "tool", "function"})
SCHEMA_FIELDS = frozenset({"tools", "functions", "response_format"})  # where `schema_texts` looks
_PLAIN_KEYS = 2  # role and content


class MessageReader:
    """Turns messages into counted texts, checking what it touches; notes the needs and the parts it meets."""

    def __init__(self, content_parts_max: int) -> None:
        self._parts_left = content_parts_max
        self._parts_max = content_parts_max
        self.needs: set[str] = set()

    def read(self, messages: list[Any]) -> list[CountedText]:
        """One text per message, followed by those of its name and tool calls where it has any."""
        texts: list[CountedText] = []
        add = texts.append
        for index, message in enumerate(messages):
            if not isinstance(message, dict):
                raise invalid(f"messages[{index}]", f"must be an object, not {described(message)}", "invalid_type")
            role, content = message.get("role"), message.get("content")
            if not isinstance(role, str):
                raise invalid(f"messages[{index}].role", f"must be a string, not {described(role)}", "invalid_type")
            text, extra = (content, 0) if isinstance(content, str) else self._content(content, index)
            if role in ONE_TOKEN_ROLES:
                extra += 1
            else:
                add(CountedText(role))
            add(CountedText(text, TOKENS_PER_MESSAGE + extra))
            if len(message) > _PLAIN_KEYS:
                texts.extend(_beside_content(message, index))
        return texts

    def _content(self, content: object, index: int) -> tuple[str, int]:
        """The text of the parts, and the tokens of those that are no text."""
        if content is None:
            return "", 0
        if not isinstance(content, list):
            raise invalid(
                f"messages[{index}].content",
                f"must be a string or an array of parts, not {described(content)}",
                "invalid_type",
            )
        self._parts_left -= len(content)
        if self._parts_left < 0:
            raise invalid("messages", f"has more than {self._parts_max} content parts", "too_many_parts")
        texts, extra = [], 0
        for number, part in enumerate(content):
            if not isinstance(part, dict):
                where = f"messages[{index}].content[{number}]"
                raise invalid(where, f"must be an object, not {described(part)}", "invalid_type")
            text = part.get("text")
            if isinstance(text, str):
                texts.append(text)
            else:
                extra += self._part_tokens(part)
        return "".join(texts), extra

    def _part_tokens(self, part: dict[str, Any]) -> int:
        kind = part.get("type")
        if kind == "image_url":
            self.needs.add("vision")
            image = part.get("image_url")
            low = isinstance(image, dict) and image.get("detail") == "low"
            return IMAGE_LOW_TOKENS if low else IMAGE_TOKENS
        if kind == "input_audio":
            self.needs.add("audio")
            return _audio_tokens(part.get("input_audio"))
        if kind == "refusal" and isinstance(part.get("refusal"), str):
            return len(part["refusal"])
        if kind == "file":
            self.needs.add("vision")
        return len(orjson.dumps(part)) // OPAQUE_CHARACTERS_PER_TOKEN + 1


def _audio_tokens(audio: object) -> int:
    encoded = audio.get("data") if isinstance(audio, dict) else None
    if not isinstance(encoded, str):
        return 1
    per_token = WAV_BASE64_PER_TOKEN if encoded.startswith("UklGR") else AUDIO_BASE64_PER_TOKEN  # "RIFF" in base64
    return len(encoded) // per_token + 1


def _beside_content(message: dict[str, Any], index: int) -> Iterator[CountedText]:
    name = message.get("name")
    if isinstance(name, str):
        yield CountedText(name, TOKENS_PER_NAME)
    for said in ("refusal", "reasoning_content", "tool_call_id"):
        text = message.get(said)
        if isinstance(text, str):
            yield CountedText(text)
    calls = message.get("tool_calls")
    if calls is not None and not isinstance(calls, list):
        raise invalid(f"messages[{index}].tool_calls", f"must be an array, not {described(calls)}", "invalid_type")
    for call in calls or ():
        yield from _call_text(call.get("function") if isinstance(call, dict) else None)
    yield from _call_text(message.get("function_call"))


def _call_text(function: object) -> Iterator[CountedText]:
    if isinstance(function, dict):
        said = (function.get("name"), function.get("arguments"))
        yield CountedText("".join(text for text in said if isinstance(text, str)), TOKENS_PER_CALL)


def schema_texts(body: dict[str, Any]) -> Iterator[CountedText]:
    """Tools, functions and the answer's schema, each as the compact JSON of its own."""
    for name in ("tools", "functions"):
        for tool in optional_array(body, name):
            yield CountedText(orjson.dumps(tool).decode())
    wanted = body.get("response_format")
    if isinstance(wanted, dict) and "json_schema" in wanted:
        yield CountedText(orjson.dumps(wanted["json_schema"]).decode())


def prompt_texts(body: dict[str, Any], name: str, most: int) -> tuple[list[CountedText], int, int]:
    """`prompt` or `input`: a text, texts, token ids, or arrays of them. Returns texts, token ids, number of prompts."""
    given = body.get(name)
    if isinstance(given, str):
        return [CountedText(given)], 0, 1
    if not isinstance(given, list) or not given:
        raise invalid(name, f"must be a string or a non-empty array, not {described(given)}", "invalid_type")
    if type(given[0]) is int:
        return [], _token_ids(given, name), 1
    if len(given) > most:
        raise invalid(name, f"has {len(given)} entries; at most {most} are allowed", "too_many_inputs")
    texts, ids = [], 0
    for index, prompt in enumerate(given):
        if isinstance(prompt, str):
            texts.append(CountedText(prompt))
        elif isinstance(prompt, list):
            ids += _token_ids(prompt, f"{name}[{index}]")
        else:
            raise invalid(f"{name}[{index}]", f"must be a string or token ids, not {described(prompt)}", "invalid_type")
    return texts, ids, len(given)


def _token_ids(ids: list[Any], where: str) -> int:
    if not set(map(type, ids)) <= {int} or (ids and min(ids) < 0):
        raise invalid(where, "token ids must be non-negative integers", "invalid_type")
    return len(ids)

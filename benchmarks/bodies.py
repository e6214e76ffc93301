"""The requests of the benchmark, as bytes: small ones, and 40-message chats of 32 KB. No two are alike."""

from __future__ import annotations

import json
import random

from benchmarks.tokens import MESSAGES, a_chat, prose

MODEL = "chat"
SMALL_PROMPT_CHARACTERS = 200
ANSWER_TOKENS_MAX = 200


def small(draw: random.Random, *, stream: bool = False) -> bytes:
    """About 350 bytes."""
    prompt = f"{draw.randrange(10**9)} {prose(draw, SMALL_PROMPT_CHARACTERS)}"[:SMALL_PROMPT_CHARACTERS]
    messages = [{"role": "system", "content": "You are a helpful assistant."}, {"role": "user", "content": prompt}]
    return _body(messages, stream=stream)


def long_chats(draw: random.Random, count: int) -> tuple[list[bytes], list[bytes]]:
    """`count` chats at first sight, and the same chats when they come again with one more message."""
    first, again = [], []
    for _ in range(count):
        roles = ("user", "assistant")
        history = [{"role": roles[number % 2], "content": text} for number, text in enumerate(a_chat(draw))]
        first.append(_body(history))
        again.append(_body([*history, {"role": "user", "content": prose(draw, 32_000 // MESSAGES)}]))
    return first, again


def _body(messages: list[dict[str, str]], *, stream: bool = False) -> bytes:
    fields = {"model": MODEL, "messages": messages, "max_tokens": ANSWER_TOKENS_MAX, "stream": stream}
    return json.dumps(fields, separators=(",", ":")).encode()

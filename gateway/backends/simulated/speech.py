"""What a simulated model says: a pure function of the seed and the request, in pieces of one token each."""

from __future__ import annotations

import base64
import hashlib
import random
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

# Each is one o200k token, at the start and after a space; a test counts them.
WORDS = (  # noqa: SIM905 - a paragraph reads better than a column
    "the of and to in a is that for it as was with on are by this be at from or an have not which but all can had has "
    "one they more their when were will you if we there what use no into only so other new some time about then up out "
    "than could these may first any my now such like our over also even most after made many before must through back "
    "years where much your way well down should because each just those people how too little state good very make "
    "world still see own work long get here between both life being under never day same another know while last might"
).split()
PIECE_CHARACTERS = 6
SCHEMA_DEPTH_MAX = 8


@dataclass(frozen=True, slots=True)
class Speech:
    """One choice: its pieces, why it ended, and the tool it calls (then the pieces are its arguments).

    worded: each piece is one token; pieces of JSON are cut by length, and must be counted.
    """

    pieces: tuple[str, ...]
    finish_reason: str
    tool: str | None = None
    worded: bool = False

    @property
    def text(self) -> str:
        """All of it."""
        return "".join(self.pieces)


def speak(body: dict[str, Any], *, seed: int, choice: int, typical: int, bound: int | None) -> Speech:
    """What this request gets as choice number `choice`. `bound`: the caller's, in tokens."""
    chance = _chance(body, seed, choice)
    tool = _required_tool(body)
    if tool is not None:
        arguments = orjson.dumps(_instance(tool.get("parameters"), chance)).decode()
        return Speech(_cut(arguments), "tool_calls", str(tool.get("name", "tool")))
    wanted = body.get("response_format")
    if isinstance(wanted, dict) and wanted.get("type") in ("json_object", "json_schema"):
        schema = wanted.get("json_schema")
        schema = schema.get("schema") if isinstance(schema, dict) else None
        said = _instance(schema, chance) if schema else {"simulated": True, "text": " ".join(_words(chance, 6))}
        return Speech(_cut(orjson.dumps(said).decode()), "stop")
    length = max(1, round(typical * chance.uniform(0.5, 1.5)))
    if body.get("ignore_eos") is True and bound:
        length = bound
    reason = "stop" if bound is None or length <= bound else "length"
    length = length if bound is None else min(length, bound)
    pieces = [word if index == 0 else f" {word}" for index, word in enumerate(_words(chance, length))]
    return _stopped(pieces, reason, body.get("stop"))


def embedding(text: str, dimensions: int, seed: int) -> list[float]:
    """A unit vector that depends on the text alone."""
    chance = random.Random(f"{seed}:{text}")  # noqa: S311 - repeatable on purpose
    vector = [chance.gauss(0, 1) for _ in range(dimensions)]
    length = sum(value * value for value in vector) ** 0.5
    return [value / length for value in vector]


def packed(vector: Sequence[float]) -> str:
    """The same as base64 of little-endian 32-bit floats, which the official SDK asks for."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def _chance(body: dict[str, Any], seed: int, choice: int) -> random.Random:
    asked = body.get("messages", body.get("prompt"))
    digest = hashlib.sha256(orjson.dumps([seed, choice, body.get("seed"), asked]))
    return random.Random(digest.digest())  # noqa: S311 - repeatable on purpose


def _words(chance: random.Random, count: int) -> list[str]:
    return chance.choices(WORDS, k=count)


def _cut(text: str) -> tuple[str, ...]:
    return tuple(text[at : at + PIECE_CHARACTERS] for at in range(0, len(text), PIECE_CHARACTERS))


def _stopped(pieces: list[str], reason: str, stop: object) -> Speech:
    """Ends before the first stop sequence, to the precision of a piece."""
    stops = [stop] if isinstance(stop, str) else stop if isinstance(stop, list) else []
    said = ""
    for index, piece in enumerate(pieces):
        said += piece
        if any(isinstance(mark, str) and mark and mark in said for mark in stops):
            return Speech(tuple(pieces[:index]), "stop", worded=True)
    return Speech(tuple(pieces), reason, worded=True)


def _required_tool(body: dict[str, Any]) -> dict[str, Any] | None:
    """The function that `tool_choice` requires, if it does."""
    choice = body.get("tool_choice")
    functions = [tool["function"] for tool in body.get("tools") or [] if isinstance(tool, dict) and "function" in tool]
    named = choice["function"].get("name") if isinstance(choice, dict) and "function" in choice else None
    if choice != "required" and named is None:
        return None
    return next((function for function in functions if named is None or function.get("name") == named), None)


def _instance(schema: object, chance: random.Random, depth: int = 0) -> Any:
    """A value that a simple JSON schema accepts: types, enums, properties, items."""
    if not isinstance(schema, dict) or depth > SCHEMA_DEPTH_MAX:
        return {} if depth == 0 else None
    if isinstance(schema.get("enum"), list) and schema["enum"]:
        return schema["enum"][0]
    kind = schema.get("type", "object" if "properties" in schema or depth == 0 else "string")
    if kind == "object":
        properties = schema.get("properties") or {}
        return {name: _instance(value, chance, depth + 1) for name, value in properties.items()}
    if kind == "array":
        return [_instance(schema.get("items", {"type": "string"}), chance, depth + 1)]
    return {"string": chance.choice(WORDS), "integer": 1, "number": 1.5, "boolean": True}.get(str(kind))

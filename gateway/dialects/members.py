"""Where one member of a JSON object stands in its text, so that it alone can be changed."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

_SPACE = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class MemberSpan:
    """Byte offsets. `value_start` to `end`: the value. `cut_start` to `cut_end`: what goes when the member goes,

    which is the member and one comma beside it.
    """

    value_start: int
    end: int
    cut_start: int
    cut_end: int


def member_span(data: bytes, name: str) -> MemberSpan | None:
    """The top-level member `name` of the object in `data`; the last of duplicates, since parsers take that one.

    None if it is not there, or `data` is not an object that the standard library can read.
    """
    try:
        text = data.decode()
        found = _scan(text, name)
    except (ValueError, IndexError, RecursionError):
        return None
    if found is None:
        return None
    if text.isascii():
        return MemberSpan(*found)
    return MemberSpan(*(len(text[:offset].encode()) for offset in found))


def _scan(text: str, name: str) -> tuple[int, int, int, int] | None:
    """Offsets in characters. Walks the members of the outermost object; nested ones are jumped over."""
    found = None
    comma = None  # the one before this member
    at = _skip(text, 0)
    if text[at] != "{":
        return None
    at = _skip(text, at + 1)
    while text[at] == '"':
        key_start = at
        _, at = _DECODER.raw_decode(text, at)
        key = text[key_start:at]  # as written: an escaped spelling is not what our marks look for either
        value_start = _skip(text, _skip(text, at) + 1)
        _, end = _DECODER.raw_decode(text, value_start)
        at = _skip(text, end)
        last = text[at] != ","
        after = at if last else _skip(text, at + 1)
        if key == f'"{name}"':
            found = (value_start, end, key_start if comma is None else comma, after if comma is None else end)
        if last:
            break
        comma, at = at, after
    return found


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return at if match is None else match.end()

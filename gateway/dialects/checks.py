"""Strict checks of the few fields of a caller's body that we act on. Each fault names the field and the remedy."""

from __future__ import annotations

from typing import Any

from gateway.domain.faults import InvalidRequest

_TO_PARENTHESES = bytes.maketrans(b"[{]}", b"(())")
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[{]}"))


def invalid(param: str, message: str, code: str = "invalid_value") -> InvalidRequest:
    """A fault of the body at `param`; the message says what, and what would be right."""
    return InvalidRequest(f"{param}: {message}", param=param, code=code)


def described(value: object) -> str:
    """What a JSON value is, for a message: never the value itself, which may be long or private."""
    if value is None:
        return "null"
    return next((name for kind, name in _DESCRIBED if isinstance(value, kind)), "a number")


_DESCRIBED: tuple[tuple[type, str], ...] = (
    (bool, "a boolean"),
    (int, "an integer"),
    (float, "a number with a fraction, or too large an integer"),
    (str, "a string"),
    (list, "an array"),
    (dict, "an object"),
)


def integer(body: dict[str, Any], name: str, least: int, most: int) -> int | None:
    """An optional integer. Booleans, floats and numerals in strings are refused, never converted."""
    value = body.get(name)
    if value is None:
        return None
    if type(value) is not int:
        raise invalid(name, f"must be an integer from {least} to {most}, not {described(value)}", "invalid_type")
    if not least <= value <= most:
        raise invalid(name, f"must be from {least} to {most}")
    return value


def boolean(body: dict[str, Any], name: str, path: str = "") -> bool:
    """An optional boolean; absent or null is False."""
    value = body.get(name)
    if value is None or value is False:
        return False
    if value is not True:
        raise invalid(path or name, f"must be true or false, not {described(value)}", "invalid_type")
    return True


def optional_object(body: dict[str, Any], name: str) -> dict[str, Any]:
    """An optional object; absent or null is empty."""
    value = body.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise invalid(name, f"must be an object, not {described(value)}", "invalid_type")
    return value


def optional_array(body: dict[str, Any], name: str) -> list[Any]:
    """An optional array; absent or null is empty."""
    value = body.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise invalid(name, f"must be an array, not {described(value)}", "invalid_type")
    return value


def deeper_than(body: bytes, limit: int) -> bool:
    """Whether JSON text nests deeper than `limit`, without parsing it.

    Most bodies have fewer opening brackets than the limit: two counts settle it. Otherwise strings are cut out, and
    each round removes the innermost pairs, so the rounds are the depth. Text that is not JSON may be misjudged as
    shallow; the parser refuses it then.
    """
    if body.count(b"{") + body.count(b"[") <= limit:
        return False
    brackets = without_strings(body).translate(_TO_PARENTHESES, _NOT_BRACKETS)
    for _ in range(limit):
        rest = brackets.replace(b"()", b"")
        if len(rest) == len(brackets):
            return False  # all gone, or unbalanced: then it is not JSON
        brackets = rest
    return bool(brackets)


def without_strings(text: bytes) -> bytes:
    """JSON text with every string literal cut out; linear time, whatever the text."""
    pieces = text.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')
    return b"".join(pieces[::2])

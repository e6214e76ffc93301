"""YAML text to a plain tree with the line of every node: the core schema of YAML 1.2, and nothing that surprises.

Scalars: null, true, false, integers, decimals (as `Decimal`, exactly as written), and text. So `NO` is text, `1:30` is
text, `010` is ten, and a date is text. Refused: duplicate keys, anchors and aliases (no bombs), tags, several
documents, `.inf` and `.nan`, and anything above the bounds below. Parser events are walked with a stack of our own, so
depth costs no recursion.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType
from typing import Final

import yaml

from gateway.domain.faults import BadDocument

DOCUMENT_BYTES_MAX = 1024 * 1024
DEPTH_MAX = 32
NODES_MAX = 100_000
NUMBER_LENGTH_MAX = 64
EXPONENT_MAX = 40  # 1e40: beyond it, turning a decimal into an integer is an attack, not a price

Path = tuple[str | int, ...]
Tree = None | bool | int | Decimal | str | list["Tree"] | dict[str, "Tree"]

_WORDS: Final[Mapping[str, bool | None]] = MappingProxyType(
    {"": None, "~": None, "null": None, "Null": None, "NULL": None}
    | {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
)
_INTEGER = re.compile(r"[-+]?[0-9]+\Z")
_OCTAL_OR_HEX = re.compile(r"0(?:o[0-7]+|x[0-9a-fA-F]+)\Z")
_DECIMAL = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_NOT_FINITE = re.compile(r"(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z")


class _Wrong(Exception):
    """A node that may not stand here; `line` counts from 1."""

    def __init__(self, line: int, what: str):
        super().__init__(what)
        self.line = line
        self.what = what


@dataclass(slots=True)
class _Open:
    """A list or mapping whose end has not come yet. `key` is the mapping's key that waits for its value."""

    node: list[Tree] | dict[str, Tree]
    path: Path
    key: str | None = None


@dataclass(slots=True)
class ParsedYaml:
    """A tree and the line (from 1) on which each of its paths begins."""

    tree: Tree = None
    lines: dict[Path, int] = field(default_factory=dict)


def parse_yaml(text: str, *, file: str) -> ParsedYaml:
    """Read one document. Raises BadDocument (`file:line: what`), and nothing else, for any text."""
    try:
        return _build(_events(text))
    except _Wrong as wrong:
        raise BadDocument(f"{file}:{wrong.line}: {wrong.what}") from None


def _events(text: str) -> Iterator[yaml.Event]:
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise _Wrong(text.count("\n", 0, error.start) + 1, "holds half a surrogate pair, which is not text") from None
    if size > DOCUMENT_BYTES_MAX:
        raise _Wrong(1, f"is larger than {DOCUMENT_BYTES_MAX} bytes")
    try:
        yield from yaml.parse(text, Loader=_parser())
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise _Wrong(line, f"a character that YAML does not allow ({error.reason})") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _Wrong(mark.line + 1 if mark else 1, _sentence(error)) from None


def _parser() -> type[yaml.SafeLoader] | type[yaml.CSafeLoader]:
    """libyaml's parser where it was compiled in (20 times faster), else PyYAML's own; both give the same events."""
    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _sentence(error: yaml.MarkedYAMLError) -> str:
    return f"not YAML: {' '.join(part for part in (error.context, error.problem) if part)}"


def _build(events: Iterator[yaml.Event]) -> ParsedYaml:
    parsed = ParsedYaml()
    stack: list[_Open] = []
    documents = 0
    for nodes, event in enumerate(events):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if nodes > NODES_MAX:
            raise _Wrong(line, f"more than {NODES_MAX} nodes")
        match event:
            case yaml.DocumentStartEvent():
                documents += 1
                if documents > 1:
                    raise _Wrong(line, "a second document begins here; one file holds one")
            case yaml.AliasEvent():
                raise _Wrong(line, f"the alias *{event.anchor} is not read here; write the value out")
            case yaml.ScalarEvent():
                _check_plain(event, line)
                _place(parsed, stack, event, line)
            case yaml.SequenceStartEvent() | yaml.MappingStartEvent():
                _check_plain(event, line)
                _open(parsed, stack, event, line)
            case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                stack.pop()
            case _:
                pass  # start and end of stream and document
    return parsed


def _check_plain(event: yaml.NodeEvent, line: int) -> None:
    if event.anchor is not None:
        raise _Wrong(line, f"the anchor &{event.anchor} is not read here; write the value out where it is used")
    tag = getattr(event, "tag", None)
    if tag is not None:
        raise _Wrong(line, f"the tag {tag} is not read here; leave it out")


def _open(
    parsed: ParsedYaml, stack: list[_Open], event: yaml.SequenceStartEvent | yaml.MappingStartEvent, line: int
) -> None:
    if len(stack) >= DEPTH_MAX:
        raise _Wrong(line, f"nested deeper than {DEPTH_MAX} levels")
    node: list[Tree] | dict[str, Tree] = [] if isinstance(event, yaml.SequenceStartEvent) else {}
    path = _attach(parsed, stack, node, line)
    stack.append(_Open(node, path))


def _place(parsed: ParsedYaml, stack: list[_Open], event: yaml.ScalarEvent, line: int) -> None:
    top = stack[-1] if stack else None
    if top is None or isinstance(top.node, list) or top.key is not None:
        _attach(parsed, stack, _scalar(event, line), line)
        return
    key = event.value
    if not key:
        raise _Wrong(line, "an empty key")
    if key in top.node:
        first = parsed.lines[(*top.path, key)]
        raise _Wrong(line, f"the key '{key}' stands here twice (first on line {first})")
    top.key = key
    top.node[key] = None
    parsed.lines[(*top.path, key)] = line


def _attach(parsed: ParsedYaml, stack: list[_Open], node: Tree, line: int) -> Path:
    """Put a finished or just opened node where it belongs, and say where that is."""
    if not stack:
        parsed.tree = node
        parsed.lines[()] = line
        return ()
    top = stack[-1]
    if isinstance(top.node, list):
        path: Path = (*top.path, len(top.node))
        top.node.append(node)
        parsed.lines[path] = line
        return path
    if top.key is None:
        raise _Wrong(line, "a key must be text, not a list or a mapping")
    path = (*top.path, top.key)  # its line is the key's line, noted when the key came
    top.node[top.key] = node
    top.key = None
    return path


def _scalar(event: yaml.ScalarEvent, line: int) -> Tree:
    """The core schema; only a plain scalar is anything but text."""
    text = event.value
    if not event.implicit[0]:
        if len(text) <= NUMBER_LENGTH_MAX and _DECIMAL.match(text):
            _number(text, line)  # money stands in quotes: a model will read it as a decimal
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _NOT_FINITE.match(text):
        raise _Wrong(line, f"{text} is not a number we can count with")
    if not (_INTEGER.match(text) or _OCTAL_OR_HEX.match(text) or _DECIMAL.match(text)):
        return text
    if len(text) > NUMBER_LENGTH_MAX:
        raise _Wrong(line, f"a number longer than {NUMBER_LENGTH_MAX} characters; put quotes around it if it is text")
    if _INTEGER.match(text):
        return int(text)
    if _OCTAL_OR_HEX.match(text):
        return int(text[2:], 8 if text[1] == "o" else 16)
    return _number(text, line)


def _number(text: str, line: int) -> Decimal:
    number = Decimal(text)
    if abs(number.adjusted()) > EXPONENT_MAX:
        raise _Wrong(line, f"{text} is out of any range we know")
    return number

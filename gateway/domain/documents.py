"""The strict reader of our documents: text in, a validated model out, or every fault with its line and a remedy.

YAML 1.2 core scalars (see `yaml_core`), decimals exact, unknown keys named with the nearest known one, several faults
told together. `"${NAME}"` in a scalar reads the environment after parsing, so a value can not change the document's
shape; `$${` stands for a literal `${`. This file opens nothing: `file` is only what messages call the text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, RootModel, ValidationError
from pydantic_core import ErrorDetails

from gateway.domain.faults import BadDocument
from gateway.domain.yaml_core import ParsedYaml, Path, Tree, parse_yaml

M = TypeVar("M", bound=BaseModel)

FAULTS_TOLD_MAX = 20
_REFERENCE = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)\}|\$\{")


class Section(BaseModel):
    """Base of every document's parts: immutable, and an unknown key is a fault."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


@dataclass(frozen=True, slots=True)
class Source:
    """A parsed document that still knows on which line anything stood; checks across files use `fault` too."""

    file: str
    parsed: ParsedYaml

    def validate(self, model: type[M]) -> M:
        """The document as `model`. Raises BadDocument with one line per fault, in the order of the file."""
        tree: Tree = {} if self.parsed.tree is None else self.parsed.tree
        try:
            return model.model_validate(tree)
        except ValidationError as error:
            raise self._told(error, model) from None

    def fault(self, path: Sequence[str | int], what: str) -> str:
        """`file:line: path: what`, the line being that of the nearest part of `path` that the document has."""
        present = self._present(path)
        line = self.parsed.lines.get(present, 1)
        spot = _dotted(path)
        return f"{self.file}:{line}: {spot}: {what}" if spot else f"{self.file}:{line}: {what}"

    def _present(self, loc: Sequence[str | int]) -> Path:
        """The parts of `loc` that the document has: a validator's loc also names the branches of unions."""
        path: Path = ()
        for part in loc:
            if (*path, part) in self.parsed.lines:
                path = (*path, part)
        return path

    def _told(self, error: ValidationError, model: type[BaseModel]) -> BadDocument:
        faults = [self._fault_of(detail, model) for detail in error.errors(include_url=False, include_input=False)]
        lines = [text for _, text in sorted(dict.fromkeys(faults))]
        if len(lines) > FAULTS_TOLD_MAX:
            lines[FAULTS_TOLD_MAX:] = [f"{self.file}: and {len(lines) - FAULTS_TOLD_MAX} more"]
        return BadDocument("\n".join(lines))

    def _fault_of(self, detail: ErrorDetails, model: type[BaseModel]) -> tuple[int, str]:
        loc = detail["loc"]
        present = self._present(loc)
        spot = (*present, loc[-1]) if detail["type"] == "missing" else present
        what = _wording(detail)
        if detail["type"] == "extra_forbidden" and present:
            what += _suggestion(str(present[-1]), _keys_at(model, present[:-1]))
        return self.parsed.lines.get(present, 1), self.fault(spot, what)


def read(text: str, *, file: str, env: Mapping[str, str] | None = None) -> Source:
    """Parse without a model; with `env`, expand references to it. Raises BadDocument."""
    source = Source(file, parse_yaml(text, file=file))
    if env is None:
        return source
    missing: list[str] = []
    tree = _expanded(source, source.parsed.tree, (), env, missing)
    if missing:
        raise BadDocument("\n".join(missing[:FAULTS_TOLD_MAX]))
    return Source(file, ParsedYaml(tree, source.parsed.lines))


def load(text: str, *, file: str, model: type[M], env: Mapping[str, str] | None = None) -> M:
    """Read `text` as a `model`. Raises BadDocument: `file:line: path: what; did you mean 'x'?`, one line per fault."""
    return read(text, file=file, env=env).validate(model)


def _expanded(source: Source, node: Tree, path: Path, env: Mapping[str, str], missing: list[str]) -> Tree:
    if isinstance(node, dict):
        return {key: _expanded(source, child, (*path, key), env, missing) for key, child in node.items()}
    if isinstance(node, list):
        return [_expanded(source, child, (*path, index), env, missing) for index, child in enumerate(node)]
    if not isinstance(node, str) or "${" not in node:
        return node

    def value(match: re.Match[str]) -> str:
        if match[0] == "$${":
            return "${"
        name = match[1]
        if name is None:
            missing.append(source.fault(path, "'${' begins a reference like ${NAME}; write '$${' for the characters"))
        elif name not in env:
            missing.append(source.fault(path, f"the environment variable {name} is not set"))
        return env.get(name or "", "")

    return _REFERENCE.sub(value, node)


def _dotted(path: Sequence[str | int]) -> str:
    """`backends[0].models.chat`, as people write it."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def _wording(detail: ErrorDetails) -> str:
    match detail["type"]:
        case "missing":
            return "is required"
        case "extra_forbidden":
            return "unknown key"
        case "model_type" | "dict_type":
            return "should be a mapping"
        case "string_type":
            return "should be text; put quotes around it"
        case _:
            text = detail["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
            return text.replace("Input should", "should", 1)


def _suggestion(key: str, known: Sequence[str]) -> str:
    near = get_close_matches(key, known, n=1)
    if near:
        return f"; did you mean '{near[0]}'?"
    return f"; known here: {', '.join(known)}" if known else ""


def _keys_at(model: type[BaseModel], path: Path) -> list[str]:
    """Every key that may stand in the mapping at `path`, in order of declaration."""
    places: list[Any] = [model]
    for part in path:
        places = [inner for place in places for choice in _choices(place) for inner in _step(choice, part)]
    models = [choice for place in places for choice in _choices(place) if _is_model(choice)]
    return list(dict.fromkeys(str(key) for found in models for key in _fields(found)))


def _choices(annotation: Any) -> list[Any]:
    """The types an annotation stands for: unions taken apart, `Annotated` and root models unwrapped."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _choices(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return [choice for part in get_args(annotation) if part is not NoneType for choice in _choices(part)]
    if _is_model(annotation) and issubclass(annotation, RootModel):
        return _choices(annotation.model_fields["root"].annotation)
    return [annotation]


def _step(annotation: Any, part: str | int) -> list[Any]:
    if _is_model(annotation):
        fields = _fields(annotation)
        return [fields[part]] if part in fields else []
    arguments = [argument for argument in get_args(annotation) if argument is not Ellipsis]
    return arguments[-1:]  # of a list its items, of a mapping its values


def _fields(model: type[BaseModel]) -> dict[str | int, Any]:
    return {info.alias or name: info.annotation for name, info in model.model_fields.items()}


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)

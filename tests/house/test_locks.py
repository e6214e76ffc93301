"""Locks carry a hash for every file and name no place to get it from."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tests.house.house import ROOT

LOCKS = sorted(ROOT.glob("requirements*.lock"))
PIN = re.compile(r"^([A-Za-z0-9._-]+)(\[[a-z0-9,]+\])?==([^ ;]+)( ; .*)?$")
HASH = re.compile(r"^    --hash=sha256:[0-9a-f]{64}( \\)?$")


def _entries(path: Path) -> dict[str, list[str]]:
    """The lines of each requirement, by its first line."""
    entries: dict[str, list[str]] = {}
    head = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("    "):
            entries[head].append(line)
        elif line.strip():
            head = line.removesuffix(" \\")
            entries[head] = []
    return entries


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_every_requirement_is_pinned_and_hashed(lock: Path) -> None:
    entries = _entries(lock)

    assert entries
    for head, hashes in entries.items():
        assert PIN.match(head), head
        assert hashes, f"{head} has no hash"
        assert all(HASH.match(line) for line in hashes), head


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_no_lock_holds_a_url(lock: Path) -> None:
    text = lock.read_text(encoding="utf-8")

    assert "://" not in text
    assert "--index" not in text
    assert "--find-links" not in text


def test_every_declared_dependency_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    locked = {_normal(head) for head in _entries(ROOT / "requirements.lock")}

    wanted = {_normal(line) for line in project["dependencies"] + project["optional-dependencies"]["fast"]}

    assert wanted - locked == set()


def test_every_dependency_has_a_line_of_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    told = (ROOT / "docs/decisions/0002-dependencies.md").read_text(encoding="utf-8")
    extras = [line for lines in project["project"]["optional-dependencies"].values() for line in lines]
    groups = [line for lines in project["dependency-groups"].values() for line in lines]

    untold = [
        name
        for line in project["project"]["dependencies"] + extras + groups
        if f"`{(name := _normal(line))}`" not in told
    ]

    assert untold == []


def _normal(requirement: str) -> str:
    """The name of a requirement, as indexes spell it."""
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found, requirement
    return re.sub(r"[-_.]+", "-", found[0]).lower()

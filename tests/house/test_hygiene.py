"""What no file of this repository may hold, and what each must."""

from __future__ import annotations

import ast
import re

import pytest

from tests.house.house import ROOT, Source, sources, tracked_texts

# Written in pieces, or this file would find itself.
MACHINE_PATHS = re.compile("|".join(["/" + "work/", "/" + "root/", "/home" + r"/[a-z]+/", "/" + r"tmp/[\w.]"]))
INDEX_HOSTS = re.compile(
    "|".join(["pypi" + r"\.org", "files\\." + "pythonhosted", "registry\\." + "npmjs", "deb\\." + "debian"])
)
KEY_MATERIAL = re.compile(
    "|".join(["-----BEGIN" + " [A-Z ]*PRIVATE KEY", "sk-" + r"[A-Za-z0-9]{32,}", "AKIA" + "[0-9A-Z]{16}"])
)


def _lines(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{name}:{number}: {line.strip()[:120]}"
        for name, text in tracked_texts()
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


def test_no_file_holds_a_path_of_somebodys_machine() -> None:
    assert _lines(MACHINE_PATHS) == []


def test_no_file_names_a_package_index() -> None:
    assert _lines(INDEX_HOSTS) == []


def test_no_file_holds_a_secret() -> None:
    assert _lines(KEY_MATERIAL) == []


@pytest.mark.parametrize("source", sources(), ids=lambda source: source.name)
def test_a_module_says_what_lives_in_it(source: Source) -> None:
    assert ast.get_docstring(source.tree), f"{source.name} has no docstring"


@pytest.mark.parametrize("source", sources(), ids=lambda source: source.name)
def test_no_module_leaves_work_for_later(source: Source) -> None:
    text = source.path.read_text(encoding="utf-8")

    assert not re.search(r"\b(TODO|FIXME|XXX|NotImplementedError)\b", text), source.name


@pytest.mark.parametrize("name", ["LICENSE", "NOTICE", "README.md", "CHANGELOG.md", "SECURITY.md"])
def test_the_files_every_visitor_looks_for_are_there(name: str) -> None:
    assert (ROOT / name).stat().st_size > 0

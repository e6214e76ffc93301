"""What the tests of the house look at: its files, and what each imports."""

from __future__ import annotations

import ast
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Who may import whom: a room may import rooms on lines below its own, and nobody else but itself.
LINES: tuple[tuple[str, ...], ...] = (
    ("cli",),
    ("bootstrap",),
    ("server", "planning"),
    ("pipeline",),
    ("ledger", "backends", "telemetry", "feeds"),
    ("ports",),
    ("policy", "metering", "dialects"),
    ("domain",),
)
PURE = ("domain", "policy", "metering", "dialects", "ports", "pipeline")
LINE_OF = {room: number for number, line in enumerate(LINES) for room in line}


@dataclass(frozen=True)
class Source:
    """One Python file of the house."""

    path: Path
    tree: ast.Module

    @property
    def name(self) -> str:
        return self.path.relative_to(ROOT).as_posix()

    @property
    def room(self) -> str | None:
        """The room it belongs to; None for `gateway/__init__.py` and `gateway/__main__.py`."""
        parts = self.path.relative_to(ROOT / "gateway").parts
        return parts[0] if len(parts) > 1 else None

    def imports(self) -> list[tuple[int, str]]:
        """Every module imported, absolute, wherever in the file: (line, dotted name)."""
        found: list[tuple[int, str]] = []
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found += [(node.lineno, alias.name) for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                base = node.module or ""
                if node.level:
                    package = self.path.relative_to(ROOT).parts[: -node.level]
                    base = ".".join((*package, base)).rstrip(".")
                found += [(node.lineno, f"{base}.{alias.name}") for alias in node.names]
        return found


@cache
def sources() -> tuple[Source, ...]:
    """Every Python file of `gateway/`."""
    paths = sorted((ROOT / "gateway").rglob("*.py"))
    return tuple(Source(path, ast.parse(path.read_text(encoding="utf-8"))) for path in paths)


@cache
def tracked_texts() -> tuple[tuple[str, str], ...]:
    """(name, text) of every text file that git tracks."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout
    names = [name for name in listed.decode().split("\0") if name]
    texts: list[tuple[str, str]] = []
    for name in names:
        path = ROOT / name
        if path.is_file():
            raw = path.read_bytes()
            if b"\0" not in raw[:8192]:
                texts.append((name, raw.decode("utf-8", "replace")))
    return tuple(texts)

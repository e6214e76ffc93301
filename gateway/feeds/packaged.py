"""Where the documents that ship with the program lie: in a checkout at its root, in an installed wheel inside it."""

from __future__ import annotations

from pathlib import Path

_PROGRAM = Path(__file__).resolve().parent.parent


def packaged_path(*parts: str) -> Path:
    """The path of a packaged document, e.g. `packaged_path("policies", "profiles")`. It need not exist."""
    installed = _PROGRAM / "_data"
    root = installed if installed.is_dir() else _PROGRAM.parent
    return root.joinpath(*parts)

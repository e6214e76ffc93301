"""The ledger's Lua scripts, as Redis is given them: the prelude in front of one verb."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha1
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Script:
    """One verb. `sha` is how Redis names a loaded script."""

    name: str
    text: bytes
    sha: bytes


def load_script(name: str, *, prelude: bool = True) -> Script:
    """Read a verb of this package. prelude: the ledger's words in front of it."""
    folder = files("gateway.ledger") / "scripts"
    parts = ("prelude", name) if prelude else (name,)
    text = b"\n".join((folder / f"{part}.lua").read_bytes() for part in parts)
    return Script(name, text, sha1(text, usedforsecurity=False).hexdigest().encode())

"""Label values that stay bounded whatever callers send."""

from __future__ import annotations

from collections.abc import Iterable

UNKNOWN = "unknown"  # a name that no snapshot declared
NONE = "none"  # no backend was asked
OTHER = "other"  # beyond the cap


class DeclaredNames:
    """Names that the configuration declared, at any time since start; everything else is `unknown`.

    A name is never taken back: a request that began under an older snapshot still ends under its own name.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = {name: name for name in names}

    def learn(self, names: Iterable[str]) -> None:
        """Add the names of a new snapshot."""
        self._names.update((name, name) for name in names)

    def label(self, raw: str) -> str:
        """`raw` if declared."""
        return self._names.get(raw, UNKNOWN)


class CappedNames:
    """The first `most` distinct names stand for themselves, later ones share `other`."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._names: set[str] = set()

    def label(self, raw: str) -> str:
        """`raw`, or `other` once the cap is reached."""
        if raw in self._names:
            return raw
        if len(self._names) >= self._most:
            return OTHER
        self._names.add(raw)
        return raw


class RecentSessions:
    """Remembers sessions in two generations of at most `most` each, by hash: which are new, in bounded memory.

    A session that rests while `most` others begin may be taken for a new one; so may one that moves to another replica.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._young: set[int] = set()
        self._old: set[int] = set()

    def is_new(self, team: str, session: str) -> bool:
        """Whether this is the first we see of the session; remembers it."""
        mark = hash((team, session))
        if mark in self._young:
            return False
        new = mark not in self._old
        if len(self._young) >= self._most:
            self._old, self._young = self._young, set()
        self._young.add(mark)
        return new

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

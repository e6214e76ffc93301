"""The caller's connection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gateway.domain.refusal import Refusal


class ClientGone(Exception):
    """The caller's connection is closed; nothing more can be delivered."""


class Reply(Protocol):
    """One answer to one caller. Either `send` or `refuse` once, or `begin`, any number of `write`, `end`."""

    started: bool
    cut_short: bool  # the gateway itself broke it off: it is shutting down

    async def send(self, status: int, headers: Sequence[tuple[str, str]], body: bytes) -> None:
        """A whole answer. Raises ClientGone."""
        ...

    async def refuse(self, refusal: Refusal, headers: Sequence[tuple[str, str]]) -> int:
        """Answer with an error in the caller's dialect; returns the status it was given. Raises ClientGone."""
        ...

    async def begin(self, status: int, headers: Sequence[tuple[str, str]]) -> None:
        """Start a stream. Raises ClientGone."""
        ...

    async def write(self, chunk: bytes) -> None:
        """Pass bytes on; waits while the client is slower than its buffer. Raises ClientGone."""
        ...

    async def end(self) -> None:
        """Finish a stream."""
        ...

    def abort(self) -> None:
        """Break off a stream that can not be finished, so that the caller sees it is incomplete (no event is added)."""
        ...

"""The rules in force, and how they change: everything is read and validated, then one snapshot is swapped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path

from watchfiles import Change, awatch

from gateway.bootstrap.assemble import Assembly
from gateway.domain.catalog import Snapshot
from gateway.domain.faults import BadDocument
from gateway.telemetry.logs import Log

DEBOUNCE_MS = 400  # editors and mounted volumes write in several steps


class Rules:
    """Implements `ports.Policies`. A request keeps the snapshot it began with; a bad file leaves the old one serving.

    read: assembles from the files; slow, run in a thread.
    """

    def __init__(self, first: Assembly, *, read: Callable[[], Assembly], log: Log) -> None:
        self._assembly = first
        self._read = read
        self._log = log
        self._followers: list[Callable[[Assembly], None]] = []
        self._hearers: list[Callable[[bool], None]] = []
        self._turn = asyncio.Lock()

    def follow(self, follower: Callable[[Assembly], None]) -> None:
        """Tell `follower` of each new assembly before it is handed out. It may raise ValueError to refuse it."""
        self._followers.append(follower)

    def hear(self, hearer: Callable[[bool], None]) -> None:
        """Tell `hearer` whether each reload came into force."""
        self._hearers.append(hearer)

    def current(self) -> Snapshot:
        """The newest valid snapshot."""
        return self._assembly.snapshot

    @property
    def assembly(self) -> Assembly:
        """The snapshot with what it was made of."""
        return self._assembly

    async def reload(self) -> str | None:
        """Read everything again. None: it is in force (or nothing changed); else why the old rules serve on."""
        async with self._turn:
            try:
                fresh = await asyncio.to_thread(self._read)
                if fresh.snapshot.version != self._assembly.snapshot.version:
                    self._swap(fresh)
            except (BadDocument, ValueError) as bad:
                self._tell(False)
                self._log.error("reload_refused", reason=str(bad), policy=self._assembly.snapshot.version)
                return str(bad)
            self._tell(True)
            return None

    def _swap(self, fresh: Assembly) -> None:
        """A follower that refuses comes first, so that nothing was told of rules that never came into force."""
        for follow in self._followers:
            follow(fresh)
        for name in fresh.fixed_since(self._assembly):
            self._log.warning("reload_needs_restart", reason=f"{name} takes effect at the next start")
        self._assembly = fresh
        self._log.info("reloaded", policy=fresh.snapshot.version)

    def _tell(self, in_force: bool) -> None:
        for hear in self._hearers:
            hear(in_force)

    async def follow_files(self) -> None:
        """Until cancelled: reload when a file that the rules were made of changes."""
        while True:
            watched = self._assembly.files
            async for _ in changes(watched):
                await self.reload()
                if self._assembly.files != watched:
                    break


async def changes(files: Iterable[Path]) -> AsyncIterator[None]:
    """One item per burst of changes near `files`. Directories are watched: editors and volumes replace whole files."""
    directories = {file.parent for file in files if file.parent.is_dir()}
    async for _ in awatch(*directories, watch_filter=is_document, recursive=False, debounce=DEBOUNCE_MS):
        yield None


def is_document(_change: Change, path: str) -> bool:
    """Whether a change may be one of ours: YAML, or the link that a mounted volume swaps."""
    name = Path(path).name
    return name.endswith((".yaml", ".yml")) or name.startswith("..")

"""One accumulator per backend: who was in flight when, so that each attempt gets its exact share of the busy floor."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.domain.catalog import Member
from gateway.metering.attribution import Accumulator, Base, Mark


class Books:
    """Accumulators by backend. They outlive a reload, which may change what a backend draws.

    Members of one backend share its power: the first one used speaks for it.
    """

    def __init__(self) -> None:
        self._by_backend: dict[str, Accumulator] = {}
        self._speakers: dict[str, Member] = {}

    def open(self, members: Iterable[Member], now: float) -> None:
        """Begin a backend's books before its first request: what it draws while nobody asks is idle energy, too."""
        for member in members:
            if member.backend not in self._by_backend:
                self._by_backend[member.backend] = Accumulator(member.rates, now)
                self._speakers[member.backend] = member

    def arrive(self, member: Member, now: float) -> Mark:
        """An attempt is being sent to the member's backend."""
        self.open((member,), now)
        book = self._by_backend[member.backend]
        if (speaker := self._speakers[member.backend]) is not member and speaker.name == member.name:
            book.reprice(member.rates, now)  # a reload gave it other numbers
            self._speakers[member.backend] = member
        return book.arrive(now)

    def depart(self, member: Member, mark: Mark, now: float) -> Base:
        """The attempt's upstream socket is closed or drained: its share of floor, dollars and embodied carbon."""
        return self._by_backend[member.backend].depart(mark, now)

    def backends(self) -> Iterable[tuple[str, Accumulator]]:
        """For metrics: idle energy and modelled power of each backend used so far."""
        return self._by_backend.items()

"""One accumulator per backend: who was in flight when, so that each attempt gets its exact share of the busy floor."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from gateway.domain.amounts import Amounts
from gateway.domain.catalog import Member
from gateway.metering.attribution import Accumulator, Base, Mark


class Books:
    """Accumulators by backend. They outlive a reload: attempts in flight keep the rates they arrived under."""

    def __init__(self, *, accumulator: Callable[[Member], Accumulator]) -> None:
        self._new = accumulator
        self._by_backend: dict[str, Accumulator] = {}

    def arrive(self, member: Member, now: float) -> Mark:
        """An attempt is being sent to the member's backend."""
        book = self._by_backend.get(member.backend)
        if book is None:
            book = self._by_backend[member.backend] = self._new(member)
        return book.arrive(now)

    def depart(self, member: Member, mark: Mark, now: float) -> Base:
        """The attempt's upstream socket is closed or drained: its share of floor, dollars and embodied carbon."""
        return self._by_backend[member.backend].depart(mark, now)

    def backends(self) -> Iterable[tuple[str, Accumulator]]:
        """For metrics: idle energy and modelled power of each backend used so far."""
        return self._by_backend.items()


def attributed(marginal: Amounts, base: Base) -> Amounts:
    """Marginal plus the share of what was spent for everyone in flight. Unknown stays unknown."""
    return marginal + Amounts(usd_nanos=base.usd_nanos, energy_mj=base.energy_mj, carbon_ug=base.carbon_ug)

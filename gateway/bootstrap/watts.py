"""Modelled power of each backend and site: the floor its books know, and what tokens drew of late."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

from gateway.domain.catalog import Snapshot
from gateway.domain.record import UsageRecord
from gateway.domain.site import Site
from gateway.pipeline.books import Books
from gateway.ports import Clock
from gateway.telemetry.views import SiteView

SMOOTH_S = 15.0  # an attempt's energy is known at its end and was drawn before: one scrape's worth of smoothing
MW_PER_WATT = 1_000


class Rate:
    """Exponentially weighted events per second."""

    def __init__(self) -> None:
        self._weight = 0.0
        self._at = 0.0

    def add(self, amount: float, now: float) -> None:
        """`amount` happened just now."""
        self._weight = self._decayed(now) + amount
        self._at = now

    def per_second(self, now: float) -> float:
        """The present rate."""
        return self._decayed(now) / SMOOTH_S

    def _decayed(self, now: float) -> float:
        return self._weight * math.exp(-max(0.0, now - self._at) / SMOOTH_S)


class PowerViews:
    """Milliwatts at the facility boundary; None where a backend's power is unknown."""

    def __init__(
        self, *, clock: Clock, books: Books, snapshot: Callable[[], Snapshot], sites: Callable[[], Mapping[str, Site]]
    ) -> None:
        self._clock = clock
        self._books = books
        self._snapshot = snapshot
        self._sites = sites
        self._tokens: dict[str, Rate] = {}

    def ended(self, record: UsageRecord) -> None:
        """Take in what the attempts of a finished request drew for their tokens."""
        now = self._clock.monotonic()
        for attempt in record.attempts:
            if attempt.marginal is not None and attempt.marginal.energy_mj:
                self._tokens.setdefault(attempt.backend, Rate()).add(attempt.marginal.energy_mj, now)

    def power_mw(self, backend: str) -> int | None:
        """Floor now plus tokens of late; millijoules per second are milliwatts."""
        floor = self._floor_mw(backend)
        if floor is None:
            return None
        rate = self._tokens.get(backend)
        return floor + (0 if rate is None else round(rate.per_second(self._clock.monotonic())))

    def idle_mj(self, backend: str) -> int | None:
        """What it drew while this process sent it nothing, since its first request."""
        book = dict(self._books.backends()).get(backend)
        return None if book is None else book.idle_mj(self._clock.monotonic())

    def sites(self) -> Iterable[SiteView]:
        """Sites with the power of their backends; None as soon as one of them is unknown."""
        backends = self._snapshot().backends.values()
        for site in self._sites().values():
            powers = [self.power_mw(backend.name) for backend in backends if backend.site == site.name]
            known = [power for power in powers if power is not None]
            cap = site.power_cap_watts
            yield SiteView(
                name=site.name,
                power_mw=sum(known) if known and len(known) == len(powers) else None,
                power_cap_mw=None if cap is None else cap * MW_PER_WATT,
            )

    def _floor_mw(self, backend: str) -> int | None:
        book = dict(self._books.backends()).get(backend)
        if book is not None:
            return book.power_mw()
        for model in self._snapshot().models.values():
            for member in model.members:
                if member.backend == backend:
                    return member.rates.idle_mw
        return None

"""Who caused which watt: a backend's modelled power, and its dollars, shared out exactly to those in flight.

While anyone is in flight the active floor is split equally (the Shapley value of a cost that is there because someone
is), and each pays its own tokens, which `pricing.marginal` knows. While nobody is, the idle power is nobody's. A
running integral of floor/n makes it O(1) per arrival and departure; carried remainders make it exact (law 6).
"""

from __future__ import annotations

from gateway.domain.amounts import Amounts
from gateway.domain.profile import Rates
from gateway.domain.value import value

NS_PER_S = 1_000_000_000
PJ_PER_MJ = 1_000_000_000  # milliwatts times nanoseconds are picojoules, 1e9 to the millijoule
PJ_PER_KJ = 1_000_000_000_000_000
PICO_NS_PER_NANO_S = 1_000 * NS_PER_S  # pico-dollars per second times nanoseconds, to nano-dollars
EMBODIED_SCALE = PJ_PER_KJ // NS_PER_S  # brings ug/s times ns to the denominator of pJ times ug/kJ


@value
class Standing:
    """Where an integral stood: dealt to each so far, and nanoseconds for which its quantity was unknown."""

    each: int
    unknown_ns: int


@value
class Mark:
    """One request's arrival: where the integrals stood. Given back to `depart` once."""

    serial: int
    energy: Standing
    usd: Standing
    carbon: Standing


@value
class Base:
    """A share of what runs whoever computes: floor energy, its carbon with the hardware's, capacity's dollars."""

    energy_mj: int | None
    usd_nanos: int
    carbon_ug: int | None


def attributed(marginal: Amounts, base: Base) -> Amounts:
    """A request's own tokens and its share of the base; unknown plus anything is unknown."""
    return marginal + Amounts(base.usd_nanos, base.energy_mj, base.carbon_ug)


class Accumulator:
    """The books of one backend. Times are monotonic seconds; one that goes back counts as no time at all."""

    def __init__(self, rates: Rates, now: float):
        self._rates = rates
        self._at_ns = _ns(now)
        self._open: set[int] = set()
        self._serial = 0
        self._energy = _Integral(PJ_PER_MJ)
        self._usd = _Integral(PICO_NS_PER_NANO_S)
        self._carbon = _Integral(PJ_PER_KJ)

    @property
    def in_flight(self) -> int:
        """How many share the floor now."""
        return len(self._open)

    @property
    def carried_pj(self) -> int:
        """Picojoules too few for a millijoule, which go to whoever leaves next."""
        return self._energy.carried

    @property
    def unallocated_pj(self) -> int:
        """Picojoules known to have been drawn by requests whose whole share was not known (a reload brought power)."""
        return self._energy.unallocated

    def arrive(self, now: float) -> Mark:
        """A request is sent: from now on it shares."""
        self._advance(now)
        self._serial += 1
        self._open.add(self._serial)
        return Mark(self._serial, self._energy.standing(), self._usd.standing(), self._carbon.standing())

    def depart(self, mark: Mark, now: float) -> Base:
        """Its upstream socket is closed or drained: its share. KeyError for a mark that has departed already."""
        self._advance(now)
        self._open.remove(mark.serial)
        last = not self._open
        return Base(
            energy_mj=self._energy.take(mark.energy, last=last),
            usd_nanos=self._usd.take(mark.usd, last=last) or 0,  # dollars per second are never unknown
            carbon_ug=self._carbon.take(mark.carbon, last=last),
        )

    def reprice(self, rates: Rates, now: float) -> None:
        """Other rates hold from now on; what ran before keeps its own."""
        self._advance(now)
        self._rates = rates

    def idle_mj(self, now: float) -> int | None:
        """Millijoules drawn while nobody was in flight, so far; None where power is unknown."""
        self._advance(now)
        return None if self._rates.idle_mw is None else self._energy.idle // PJ_PER_MJ

    def idle_carbon_ug(self, now: float) -> int | None:
        """Micrograms of the same, hardware included; None where power or grid is unknown."""
        self._advance(now)
        unknown = self._rates.idle_mw is None or self._rates.carbon_ug_per_kj is None
        return None if unknown else self._carbon.idle // PJ_PER_KJ

    def idle_usd_nanos(self, now: float) -> int:
        """Nano-dollars of capacity and idle electricity while nobody was in flight, so far."""
        self._advance(now)
        return self._usd.idle // PICO_NS_PER_NANO_S

    def power_mw(self) -> int | None:
        """The modelled floor now, before tokens: active while anyone is in flight, else idle."""
        return self._rates.active_mw if self._open else self._rates.idle_mw

    def _advance(self, now: float) -> None:
        now_ns = _ns(now)
        span_ns = now_ns - self._at_ns
        if span_ns <= 0:
            return
        self._at_ns = now_ns
        rates, among = self._rates, len(self._open)
        power_mw = rates.active_mw if among else rates.idle_mw
        usd_picos_per_s = rates.usd_picos_per_s if among else rates.usd_picos_per_idle_s
        energy_pj = None if power_mw is None else power_mw * span_ns
        self._energy.add(energy_pj, span_ns, among)
        self._usd.add(usd_picos_per_s * span_ns, span_ns, among)
        self._carbon.add(_carbon(rates, energy_pj, span_ns), span_ns, among)


class _Integral:
    """One quantity over time: what each in flight was dealt so far, what fell while nobody was, and the remainders.

    Dealing to n leaves up to n-1 units, carried into the next deal; the last to leave takes what is left. A share's
    fraction of a unit is carried to whoever leaves next. So at any quiet moment shares, idle, unallocated and carried
    sum to the integral, exactly.
    """

    __slots__ = ("_denominator", "_each", "_undealt", "_unknown_ns", "carried", "idle", "unallocated")

    def __init__(self, denominator: int):
        self._denominator = denominator
        self._each = 0
        self._undealt = 0
        self._unknown_ns = 0
        self.carried = 0
        self.idle = 0
        self.unallocated = 0

    def add(self, amount: int | None, span_ns: int, among: int) -> None:
        if amount is None:
            self._unknown_ns += span_ns
        elif among == 1 and not self._undealt:
            self._each += amount
        elif among:
            share, self._undealt = divmod(amount + self._undealt, among)
            self._each += share
        else:
            self.idle += amount

    def standing(self) -> Standing:
        return Standing(self._each, self._unknown_ns)

    def take(self, since: Standing, *, last: bool) -> int | None:
        """A leaving share in whole units; None if some of its time was unknown: what was known of it is unallocated."""
        share = self._each - since.each
        if last:
            share += self._undealt
            self._undealt = 0
        if self._unknown_ns != since.unknown_ns:
            self.unallocated += share
            return None
        whole, self.carried = divmod(self.carried + share, self._denominator)
        return whole


def _carbon(rates: Rates, energy_pj: int | None, span_ns: int) -> int | None:
    if energy_pj is None or rates.carbon_ug_per_kj is None:
        return None
    return energy_pj * rates.carbon_ug_per_kj + rates.embodied_ug_per_busy_s * span_ns * EMBODIED_SCALE


def _ns(seconds: float) -> int:
    return round(seconds * NS_PER_S)

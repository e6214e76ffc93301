"""Law 6: shares of the floor and idle power sum to the modelled power integrated, exactly, over any trace."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.amounts import Amounts
from gateway.metering.attribution import Accumulator, Base, Mark, attributed
from gateway.metering.pricing import compile_rates, marginal
from tests.metering.making import a_profile, a_site, a_usage, flat_rates


def test_solo_pays_the_whole_floor_and_its_own_tokens() -> None:
    rates = compile_rates(a_profile(), a_site(), None)
    books = Accumulator(rates, now=0.0)

    base = books.depart(books.arrive(5.0), 15.0)
    own = marginal(rates, a_usage(500, 200))

    assert own.energy_mj == 50_000  # 500 x 0.06 J + 200 x 0.10 J
    assert attributed(own, base).energy_mj == 16_750_000  # 50 J + 10 s x 1,670 W
    assert books.idle_mj(15.0) == 1_500_000  # 5 s x 300 W before it came


def test_two_who_overlap_split_the_floor_while_they_do() -> None:
    books = Accumulator(flat_rates(), now=0.0)

    first = books.arrive(0.0)
    second = books.arrive(2.0)
    left_first = books.depart(first, 6.0)
    left_second = books.depart(second, 7.0)

    assert left_first.energy_mj == 1_670_000 * 2 + 1_670_000 * 4 // 2
    assert left_second.energy_mj == 1_670_000 * 4 // 2 + 1_670_000 * 1


def test_capacity_is_shared_like_the_floor_and_idle_capacity_is_nobodys() -> None:
    dollar_a_second = 10**12
    books = Accumulator(flat_rates(usd_picos_per_s=dollar_a_second, usd_picos_per_idle_s=dollar_a_second // 2), now=0.0)

    first, second = books.arrive(10.0), books.arrive(10.0)
    shares = [books.depart(first, 14.0).usd_nanos, books.depart(second, 14.0).usd_nanos]

    assert shares == [2 * 10**9, 2 * 10**9]
    assert books.idle_usd_nanos(16.0) == 6 * 10**9  # 12 idle seconds at half a dollar


def test_carbon_is_the_grids_and_the_hardwares() -> None:
    books = Accumulator(flat_rates(carbon_ug_per_kj=100_000, embodied_ug_per_busy_s=41_667), now=0.0)

    base = books.depart(books.arrive(0.0), 10.0)

    assert base.carbon_ug == 1_670_000 + 416_670  # 16.7 kJ x 0.1 g, and 10 s of the hardware's making


def test_unknown_power_is_unknown_energy_and_carbon_but_capacity_still_costs() -> None:
    books = Accumulator(flat_rates(None, None, usd_picos_per_s=10**12), now=0.0)

    base = books.depart(books.arrive(0.0), 3.0)

    assert base == Base(energy_mj=None, usd_nanos=3 * 10**9, carbon_ug=None)
    assert books.idle_mj(9.0) is None
    assert books.idle_carbon_ug(9.0) is None


def test_an_unknown_grid_leaves_carbon_unknown_and_energy_known() -> None:
    books = Accumulator(flat_rates(carbon_ug_per_kj=None), now=0.0)

    base = books.depart(books.arrive(0.0), 1.0)

    assert base.energy_mj == 1_670_000
    assert base.carbon_ug is None


def test_a_zero_floor_is_a_known_zero() -> None:
    books = Accumulator(flat_rates(0, 0), now=0.0)

    assert books.depart(books.arrive(0.0), 9.0) == Base(0, 0, 0)


def test_a_request_that_saw_a_reload_from_unknown_power_does_not_know_its_share() -> None:
    books = Accumulator(flat_rates(None, None), now=0.0)
    before = books.arrive(0.0)
    books.reprice(flat_rates(), 2.0)
    after = books.arrive(2.0)

    assert books.depart(before, 4.0).energy_mj is None
    assert books.unallocated_pj == 1_670_000 * 10**9  # its known half is nobody's, so far
    assert books.depart(after, 4.0).energy_mj == 1_670_000


def test_a_reload_prices_only_what_comes_after_it() -> None:
    books = Accumulator(flat_rates(active_mw=1_000), now=0.0)
    mark = books.arrive(0.0)
    books.reprice(flat_rates(active_mw=3_000), 10.0)

    assert books.depart(mark, 20.0).energy_mj == 10_000 + 30_000


def test_a_mark_departs_once() -> None:
    books = Accumulator(flat_rates(), now=0.0)
    mark = books.arrive(0.0)
    books.depart(mark, 1.0)

    with pytest.raises(KeyError):
        books.depart(mark, 2.0)


def test_a_clock_that_goes_back_adds_nothing() -> None:
    books = Accumulator(flat_rates(), now=10.0)
    mark = books.arrive(9.0)

    assert books.depart(mark, 8.0).energy_mj == 0


def test_unknown_plus_known_is_unknown() -> None:
    assert attributed(Amounts(5, 7, None, 3, 1), Base(1, 2, 3)) == Amounts(7, 8, None, 3, 1)


def test_the_power_now_is_the_floor_of_the_moment() -> None:
    books = Accumulator(flat_rates(), now=0.0)
    assert books.power_mw() == 300_000

    books.arrive(1.0)

    assert (books.power_mw(), books.in_flight) == (1_670_000, 1)


_EVENTS = st.lists(
    st.tuples(
        st.integers(0, 10**10),  # nanoseconds since the event before
        st.booleans(),  # someone comes, or else someone goes
        st.integers(0, 10**6),  # who goes
    ),
    max_size=60,
)
_FLOORS = st.integers(0, 10**8)


@given(_EVENTS, _FLOORS, _FLOORS)
def test_any_trace_conserves_every_picojoule(events: list[tuple[int, bool, int]], idle_mw: int, active_mw: int) -> None:
    books = Accumulator(flat_rates(idle_mw, active_mw), now=0.0)
    present: list[Mark] = []
    now_ns = integral_pj = idle_pj = given_mj = 0

    def pass_time(span_ns: int) -> float:
        """The clock is a float: what it can not say, neither book knows."""
        nonlocal now_ns, integral_pj, idle_pj
        seconds = (now_ns + span_ns) / 1e9
        span_ns = round(seconds * 1e9) - now_ns
        now_ns += span_ns
        integral_pj += (active_mw if present else idle_mw) * span_ns
        idle_pj += 0 if present else idle_mw * span_ns
        return seconds

    for span_ns, comes, who in events:
        now = pass_time(span_ns)
        if comes or not present:
            present.append(books.arrive(now))
        else:
            given_mj += books.depart(present.pop(who % len(present)), now).energy_mj or 0
    now = pass_time(1)
    while present:
        given_mj += books.depart(present.pop(), now).energy_mj or 0

    assert given_mj * 10**9 + books.carried_pj + idle_pj == integral_pj
    assert books.carried_pj < 10**9  # under a millijoule, whatever came before
    assert books.idle_mj(now) == idle_pj // 10**9


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 50)), min_size=1, max_size=12))
def test_each_share_is_that_of_brute_force_over_the_same_trace(stays: list[tuple[int, int]]) -> None:
    floor_mw = 1_000_000
    books = Accumulator(flat_rates(0, floor_mw), now=0.0)
    steps = sorted({moment for start, length in stays for moment in (start, start + length)})
    marks: dict[int, Mark] = {}
    shares: dict[int, int] = {}
    for moment in steps:
        for who, (start, length) in enumerate(stays):
            if start + length == moment:
                shares[who] = books.depart(marks[who], float(moment)).energy_mj or 0
        for who, (start, _) in enumerate(stays):
            if start == moment:
                marks[who] = books.arrive(float(moment))

    for who, (start, length) in enumerate(stays):
        expected = Fraction(0)
        for second in range(start, start + length):
            sharing = sum(1 for other, for_ in stays if other <= second < other + for_)
            expected += Fraction(floor_mw, sharing)
        assert abs(shares[who] - expected) <= 1  # the carried fraction of a millijoule


def test_many_short_stays_drift_by_less_than_a_millijoule() -> None:
    books = Accumulator(flat_rates(0, 333_333), now=0.0)
    given = 0
    for turn in range(100_000):
        mark = books.arrive(turn * 0.001)
        given += books.depart(mark, turn * 0.001 + 0.0003333).energy_mj or 0

    drift_pj = 100_000 * 333_333 * 333_300 - given * 10**9
    assert abs(drift_pj) < 10**9 + 100_000 * 333_333  # a nanosecond of float per stay, and one millijoule carried

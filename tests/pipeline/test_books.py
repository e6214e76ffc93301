"""Who was in flight when, by backend."""

from __future__ import annotations

from dataclasses import replace

from gateway.pipeline.books import Books
from tests.pipeline.fakes import a_member


def idle_mj(books: Books, backend: str, now: float) -> int | None:
    return dict(books.backends())[backend].idle_mj(now)


def test_idle_energy_counts_from_the_opening_of_the_books() -> None:
    books = Books()

    books.open([a_member("gpu")], now=100.0)

    # 100 W idle for 10 s are 1,000 J
    assert idle_mj(books, "gpu", 110.0) == 1_000_000


def test_opening_twice_changes_nothing() -> None:
    books, member = Books(), a_member("gpu")
    books.open([member], now=100.0)

    books.open([member], now=105.0)

    assert idle_mj(books, "gpu", 110.0) == 1_000_000


def test_nobody_is_idle_while_a_request_is_in_flight() -> None:
    books, member = Books(), a_member("gpu")
    books.open([member], now=0.0)

    mark = books.arrive(member, now=10.0)
    base = books.depart(member, mark, now=14.0)

    # 10 s idle at 100 W before; 4 s alone at 500 W
    assert idle_mj(books, "gpu", 14.0) == 1_000_000
    assert base.energy_mj == 2_000_000


def test_two_at_once_share_the_floor_equally() -> None:
    books, member = Books(), a_member("gpu")

    first, second = books.arrive(member, 0.0), books.arrive(member, 0.0)

    assert books.depart(member, first, 4.0).energy_mj == 1_000_000
    assert books.depart(member, second, 4.0).energy_mj == 1_000_000


def test_a_reload_that_changes_what_a_backend_draws_holds_from_the_next_arrival() -> None:
    books, member = Books(), a_member("gpu")
    books.depart(member, books.arrive(member, 0.0), 1.0)
    hungry = replace(member, rates=replace(member.rates, active_mw=900_000, profile_version="2"))

    base = books.depart(hungry, books.arrive(hungry, 1.0), 2.0)

    assert base.energy_mj == 900_000

"""What every ledger promises. `test_contract.py` runs it on memory, the embedded Valkey and Debian's Redis."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.domain.amounts import Amounts, Unit
from gateway.domain.budgets import Candidate, Counter, Denial, Hold, Stale, WindowKind
from gateway.policy.windows import span
from tests.ledger.house import TOTAL, World, a_counter, some

DAY_MS = 86_400_000
MINUTES_16 = 16 * 60_000


class Reserving:
    async def test_a_hold_within_the_limit_is_counted_as_held(self, world: World) -> None:
        budget = a_counter(usd=100)

        await world.hold(budget, usd=30)

        assert await world.usd(budget) == (0, 30)

    async def test_holds_may_fill_a_limit_exactly_and_not_pass_it_by_one(self, world: World) -> None:
        budget = a_counter(usd=100)
        await world.hold(budget, usd=100)

        verdict = await world.ledger.reserve(world.ask(budget, usd=1))

        assert verdict == Denial(budget, Unit.USD_NANOS, limit=100, spent=0, held=100, asked=1)
        assert await world.usd(budget) == (0, 100)

    async def test_one_limit_in_the_way_leaves_every_counter_untouched(self, world: World) -> None:
        wide, narrow = a_counter("budget:wide", usd=1_000), a_counter("budget:narrow", usd=5, name="narrow")

        verdict = await world.ledger.reserve(world.ask(wide, narrow, usd=10))

        assert isinstance(verdict, Denial)
        assert verdict.counter.name == "narrow"
        assert await world.usd(wide) == (0, 0)

    async def test_every_unit_of_a_request_is_held_at_once_and_each_can_refuse(self, world: World) -> None:
        budget = a_counter(usd=100, energy_mj=100, carbon_ug=100, tokens=100, requests=2)
        await world.hold(budget, amounts=Amounts(10, 20, 30, 40, 1))

        verdict = await world.ledger.reserve(world.ask(budget, amounts=Amounts(10, 20, 30, 61, 1)))

        assert verdict == Denial(budget, Unit.TOKENS, limit=100, spent=0, held=40, asked=61)
        stood = await world.standing(budget)
        assert [stood.held[unit] for unit in Unit] == [10, 20, 30, 40, 1, 0]

    async def test_the_first_candidate_that_fits_is_held_and_named(self, world: World) -> None:
        budget = a_counter(usd=100)
        three = [Candidate(f"m{usd}", some(usd), (budget,)) for usd in (300, 200, 50)]

        verdict = await world.ledger.reserve(world.ask(candidates=three))

        assert isinstance(verdict, Hold)
        assert (verdict.index, verdict.candidate.member) == (2, "m50")
        assert await world.usd(budget) == (0, 50)

    async def test_candidates_may_have_counters_of_their_own(self, world: World) -> None:
        shared, dear, cheap = (
            a_counter("budget:all", usd=100),
            a_counter("budget:dear", usd=5),
            a_counter("budget:cheap"),
        )
        two = [Candidate("dear", some(10), (shared, dear)), Candidate("cheap", some(8), (shared, cheap))]

        verdict = await world.ledger.reserve(world.ask(candidates=two))

        assert isinstance(verdict, Hold)
        assert verdict.index == 1
        await world.ledger.settle(verdict, some(8), "provider")
        assert [await world.usd(each) for each in (shared, dear, cheap)] == [(8, 0), (0, 0), (8, 0)]

    async def test_a_denial_speaks_of_the_first_candidate(self, world: World) -> None:
        budget = a_counter(usd=10)
        two = [Candidate("a", some(30), (budget,)), Candidate("b", some(20), (budget,))]

        verdict = await world.ledger.reserve(world.ask(candidates=two))

        assert isinstance(verdict, Denial)
        assert verdict.asked == 30

    async def test_a_member_of_unknown_energy_does_not_fit_an_energy_limit(self, world: World) -> None:
        budget = a_counter(energy_mj=1_000)

        verdict = await world.ledger.reserve(world.ask(budget, amounts=some(1, energy=None)))

        assert verdict == Denial(budget, Unit.ENERGY_MJ, limit=1_000, spent=0, held=0, asked=None)

    async def test_concurrency_is_held_once_and_free_again_when_settled(self, world: World) -> None:
        two_at_once = a_counter("limit:c", concurrent=2)
        first, _ = await world.hold(two_at_once), await world.hold(two_at_once)
        assert isinstance(await world.ledger.reserve(world.ask(two_at_once)), Denial)

        await world.ledger.settle(first, some(5), "provider")

        await world.hold(two_at_once)
        stood = await world.standing(two_at_once)
        assert (stood.spent[Unit.CONCURRENT], stood.held[Unit.CONCURRENT]) == (0, 2)

    async def test_reported_counters_come_with_where_they_stand(self, world: World) -> None:
        session = Counter("session:k1:s", TOTAL, report=True, ttl_ms=DAY_MS)
        first = await world.hold(session)
        await world.ledger.settle(first, some(7, tokens=3), "provider")

        second = await world.hold(session, a_counter("team:t"))

        (balance,) = second.balances
        assert balance.counter == session
        assert (balance.spent[Unit.USD_NANOS], balance.spent[Unit.TOKENS], balance.spent[Unit.REQUESTS]) == (7, 3, 1)

    async def test_a_window_that_has_ended_is_replaced_by_the_current_one(self, world: World) -> None:
        yesterday = span(WindowKind.DAY, "UTC", world.ledger.now_ms() - DAY_MS)
        today = span(WindowKind.DAY, "UTC", world.ledger.now_ms())
        spent_out = Counter("budget:d", yesterday, ((Unit.USD_NANOS, 10),), "d")

        hold = await world.hold(spent_out, usd=10)

        (counter,) = hold.candidate.counters
        assert counter.window == today
        assert await world.usd(counter) == (0, 10)
        assert await world.usd(spent_out) == (0, 0)

    async def test_an_amount_below_zero_is_refused_before_anything_happens(self, world: World) -> None:
        with pytest.raises(ValueError, match="below zero"):
            await world.ledger.reserve(world.ask(a_counter(usd=100), usd=-1))


class Settling:
    async def test_what_was_spent_is_booked_and_the_hold_freed(self, world: World) -> None:
        budget, team = a_counter(usd=100), a_counter("team:t")
        hold = await world.hold(budget, team, usd=30)

        assert await world.ledger.settle(hold, some(12, energy=5, carbon=6, tokens=7), "provider")

        assert await world.usd(budget) == (12, 0)
        stood = await world.standing(team)
        assert [stood.spent[unit] for unit in Unit] == [12, 5, 6, 7, 1, 0]

    async def test_an_overrun_is_charged_in_full(self, world: World) -> None:
        budget = a_counter(usd=100)
        hold = await world.hold(budget, usd=30)

        await world.ledger.settle(hold, some(250), "provider")

        assert await world.usd(budget) == (250, 0)

    async def test_an_unknown_amount_charges_nothing(self, world: World) -> None:
        team = a_counter("team:t")
        hold = await world.hold(team)

        await world.ledger.settle(hold, some(3, energy=None, carbon=None), "provider")

        stood = await world.standing(team)
        assert (stood.spent[Unit.USD_NANOS], stood.spent[Unit.ENERGY_MJ], stood.spent[Unit.CARBON_UG]) == (3, 0, 0)

    async def test_a_rate_limit_adds_up_only_what_it_limits(self, world: World) -> None:
        rate = replace(a_counter("limit:r", tokens=100), kind="rate")
        hold = await world.hold(rate, amounts=some(10, tokens=40))

        await world.ledger.settle(hold, some(9, tokens=30), "provider")

        stood = await world.standing(rate)
        assert [stood.spent[unit] for unit in Unit] == [0, 0, 0, 30, 0, 0]

    async def test_settling_twice_changes_nothing(self, world: World) -> None:
        budget = a_counter(usd=100)
        hold = await world.hold(budget, usd=30)

        answers = [await world.ledger.settle(hold, some(12), "provider") for _ in range(3)]

        assert answers == [True, True, True]
        assert await world.usd(budget) == (12, 0)

    async def test_settling_at_another_cost_is_a_conflict_and_changes_nothing(self, world: World) -> None:
        budget = a_counter(usd=100)
        hold = await world.hold(budget, usd=30)
        await world.ledger.settle(hold, some(12), "provider")

        assert not await world.ledger.settle(hold, some(13), "provider")

        assert await world.usd(budget) == (12, 0)
        assert world.ledger.conflicts == 1

    async def test_sums_beyond_what_a_double_holds_stay_exact(self, world: World) -> None:
        team = a_counter("team:t")
        for usd in (2**53 - 1, 2**53 - 1, 4):
            await world.ledger.settle(await world.hold(team, usd=usd), some(usd), "provider")

        assert await world.usd(team) == (2**54 + 2, 0)

    async def test_sums_on_both_sides_of_what_a_double_holds_stay_exact(self, world: World) -> None:
        largest = 2**53 - 1
        session = Counter("session:k1:s", TOTAL, report=True, ttl_ms=DAY_MS)
        budget = a_counter("budget:b", tokens=5)
        for usd in (largest, 1, 1, largest, 3):  # odd sums above 2^53 are no doubles
            hold = await world.hold(session, budget, amounts=some(usd, tokens=1))
            await world.ledger.settle(hold, some(usd, tokens=1), "provider")
        late = await world.hold(session, budget, usd=1, lease_ms=1, watermark=some(largest))
        await world.pass_ms(3)
        await world.ledger.sweep()
        charged = await world.usd(budget)
        await world.ledger.settle(late, some(2), "provider")  # gives all but two back

        last = await world.hold(session, usd=1)

        assert charged == (3 * largest + 5, 0)
        assert await world.usd(budget) == (2 * largest + 7, 0)
        assert last.balances[0].spent[Unit.USD_NANOS] == 2 * largest + 7
        stood = await world.standing(budget)
        assert (stood.spent[Unit.TOKENS], stood.spent[Unit.REQUESTS], stood.held[Unit.TOKENS]) == (5, 6, 0)

    async def test_each_attempt_of_a_request_has_its_own_hold(self, world: World) -> None:
        budget = a_counter(usd=100)
        first = await world.hold(budget, usd=30)

        second = await world.hold(budget, usd=20, request_id=first.request_id, attempt=2)
        await world.ledger.release(first, "unsent")
        await world.ledger.settle(second, some(15), "provider")

        assert await world.usd(budget) == (15, 0)


class Releasing:
    async def test_a_released_hold_cost_nothing_and_releasing_again_changes_nothing(self, world: World) -> None:
        budget = a_counter(usd=100)
        hold = await world.hold(budget, usd=30)

        await world.ledger.release(hold, "unsent")
        await world.ledger.release(hold, "unsent")

        assert await world.usd(budget) == (0, 0)

    async def test_a_hold_ends_once_settling_after_a_release_is_a_conflict(self, world: World) -> None:
        budget = a_counter(usd=100)
        hold = await world.hold(budget, usd=30)
        await world.ledger.release(hold, "unsent")

        assert not await world.ledger.settle(hold, some(12), "provider")

        assert await world.usd(budget) == (0, 0)

    async def test_releasing_what_was_settled_changes_nothing(self, world: World) -> None:
        budget = a_counter(usd=100)
        hold = await world.hold(budget, usd=30)
        await world.ledger.settle(hold, some(12), "provider")

        await world.ledger.release(hold, "unsent")

        assert await world.usd(budget) == (12, 0)
        assert world.ledger.conflicts == 1


class Repeating:
    async def test_a_repeated_reserve_gets_the_same_hold_and_holds_it_once(self, world: World) -> None:
        budget = a_counter(usd=100)
        ask = world.ask(budget, usd=30)

        first, second = await world.ledger.reserve(ask), await world.ledger.reserve(ask)

        assert first == second
        assert await world.usd(budget) == (0, 30)

    async def test_a_denial_does_not_flip_when_money_comes_free(self, world: World) -> None:
        budget = a_counter(usd=100)
        hold, ask = await world.hold(budget, usd=100), world.ask(budget, usd=50)
        denied = await world.ledger.reserve(ask)
        await world.ledger.release(hold, "unsent")

        again, another = await world.ledger.reserve(ask), await world.ledger.reserve(world.ask(budget, usd=50))

        assert isinstance(denied, Denial)
        assert again == denied
        assert isinstance(another, Hold)

    async def test_a_reserve_that_arrives_after_its_end_holds_nothing(self, world: World) -> None:
        budget = a_counter(usd=100)
        ask = world.ask(budget, usd=30)
        hold = await world.ledger.reserve(ask)
        assert isinstance(hold, Hold)
        await world.ledger.settle(hold, some(12), "provider")

        assert await world.ledger.reserve(ask) == Stale("settled")

        assert await world.usd(budget) == (12, 0)

    async def test_a_release_that_overtakes_its_reserve_keeps_it_from_holding(self, world: World) -> None:
        budget = a_counter(usd=100)
        ask = world.ask(budget, usd=30)
        await world.ledger.release(_hold_of(ask.root, ask.request_id, budget), "cancelled")

        assert await world.ledger.reserve(ask) == Stale("released")

        assert await world.usd(budget) == (0, 0)

    async def test_a_settle_whose_row_was_lost_is_booked_anew_once(self, world: World) -> None:
        budget = a_counter(usd=100)
        lost = _hold_of(world.root, world.new_id(), budget)

        assert await world.ledger.settle(lost, some(12), "provider")
        assert await world.ledger.settle(lost, some(12), "provider")

        assert await world.usd(budget) == (12, 0)

    async def test_steps_older_than_the_retention_are_refused_and_change_nothing(self, world: World) -> None:
        budget = a_counter(usd=100)
        old = world.new_id(age_ms=MINUTES_16)

        assert await world.ledger.reserve(world.ask(budget, request_id=old)) == Stale("forgotten")
        assert not await world.ledger.settle(_hold_of(world.root, old, budget), some(12), "provider")
        await world.ledger.release(_hold_of(world.root, old, budget), "unsent")

        assert await world.usd(budget) == (0, 0)
        assert world.ledger.stale == 3

    async def test_an_id_of_the_future_is_refused(self, world: World) -> None:
        ask = world.ask(a_counter(usd=100), request_id=world.new_id(age_ms=-60_000))

        assert await world.ledger.reserve(ask) == Stale("future")


class Expiring:
    async def test_a_lease_that_ends_charges_its_watermark_and_frees_the_hold(self, world: World) -> None:
        budget = a_counter(usd=100, concurrent=1)
        await world.hold(budget, usd=30, lease_ms=1, watermark=some(4))
        await world.pass_ms(3)

        await world.ledger.sweep()

        stood = await world.standing(budget)
        assert await world.usd(budget) == (4, 0)
        assert stood.held[Unit.CONCURRENT] == 0
        assert world.ledger.holds_expired == 1

    async def test_the_next_reserve_of_the_root_ends_due_leases_by_itself(self, world: World) -> None:
        budget = a_counter(usd=100)
        await world.hold(budget, usd=100, lease_ms=1, watermark=some(4))
        await world.pass_ms(3)

        await world.hold(budget, usd=96)

        assert await world.usd(budget) == (4, 96)
        assert world.ledger.holds_expired == 1

    @pytest.mark.parametrize("spent", [0, 3, 4, 30, 90])
    async def test_a_late_settle_books_the_difference_to_the_watermark(self, world: World, spent: int) -> None:
        budget = a_counter(usd=100)
        hold = await world.hold(budget, usd=30, lease_ms=1, watermark=some(4))
        await world.pass_ms(3)
        await world.ledger.sweep()

        assert await world.ledger.settle(hold, some(spent), "provider")
        assert await world.ledger.settle(hold, some(spent), "provider")

        assert await world.usd(budget) == (spent, 0)

    async def test_a_late_settle_that_does_not_know_the_energy_keeps_what_the_watermark_charged(
        self, world: World
    ) -> None:
        team = a_counter("team:t")
        hold = await world.hold(team, lease_ms=1, watermark=some(4, energy=9))
        await world.pass_ms(3)
        await world.ledger.sweep()

        await world.ledger.settle(hold, some(5, energy=None), "provider")

        stood = await world.standing(team)
        assert (stood.spent[Unit.USD_NANOS], stood.spent[Unit.ENERGY_MJ]) == (5, 9)

    async def test_a_late_release_gives_the_watermark_back(self, world: World) -> None:
        budget = a_counter(usd=100)
        hold = await world.hold(budget, usd=30, lease_ms=1, watermark=some(4))
        await world.pass_ms(3)
        await world.ledger.sweep()

        await world.ledger.release(hold, "unsent")

        assert await world.usd(budget) == (0, 0)

    async def test_a_repeated_reserve_of_an_expired_hold_is_told_so(self, world: World) -> None:
        ask = world.ask(a_counter(usd=100), lease_ms=1)
        await world.ledger.reserve(ask)
        await world.pass_ms(3)
        await world.ledger.sweep()

        assert await world.ledger.reserve(ask) == Stale("expired")


class Finding:
    async def test_a_summary_is_found_by_id_and_by_alias(self, world: World) -> None:
        hold = await world.hold(a_counter("team:t"))

        await world.ledger.settle(hold, some(1), "provider", summary=b'{"cost": 1}', alias="client-id")

        assert await world.ledger.find(world.root, "k1", hold.request_id) == b'{"cost": 1}'
        assert await world.ledger.find(world.root, "k1", "client-id") == b'{"cost": 1}'

    async def test_another_key_or_another_tenant_finds_nothing(self, world: World) -> None:
        hold = await world.hold(a_counter("team:t"))
        await world.ledger.settle(hold, some(1), "provider", summary=b"{}", alias="client-id")

        assert await world.ledger.find(world.root, "k2", "client-id") is None
        assert await world.ledger.find("elsewhere", "k1", hold.request_id) is None


def _hold_of(root: str, request_id: str, *counters: Counter) -> Hold:
    return Hold(root, request_id, 1, 0, Candidate("gpu-a/m", some(30), counters), "k1")

"""Which member serves: a pure, synchronous decision over quotes, and what it learns from how attempts went.

The interface, for the gateway and for a simulator that drives this very class:

    router = Router(random)                        random() in [0, 1); time is an argument of every call, in seconds
    choose(ask, now) -> Route | Reject             changes nothing; draws chance only where a canary is due
    on_start(ask, choice, now) -> Ticket           the attempt counts as load from here on. Call it before the first
                                                   await after `choose`, so that two requests never see one free slot;
                                                   if the ledger then refuses, end the ticket with client_left=True
    on_first_token(ticket, now)                    the first content chunk of a stream arrived
    on_end(ticket, now, output_tokens=, failure=, client_left=, retry_after_s=)     exactly once; again does nothing
    export(now) -> dict, absorb(dict, now)         plain values: weights, residuals, prices of a miss, typical amounts
    drain(backend), undrain(backend), in_flight(backend), breaker(backend)

A member is passed over for the reasons of `obstacles`, the rest is ordered by `ranking`. The first candidate's reason
says why it serves; a later candidate's why it does not (dearer, or misses_sla). `ask.needs` holds the call's kind and
its other needs.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TypedDict

from gateway.domain.faults import FailureKind
from gateway.domain.refusal import RefusalCode
from gateway.domain.route import Choice, PassedOver, Quote, Reason, Reject, Route, RouteAsk
from gateway.policy import fleet, obstacles, sla
from gateway.policy.breaker import Phase
from gateway.policy.estimators import EstimatorState
from gateway.policy.fleet import Load, MemberState, Ticket
from gateway.policy.ranking import STICKY_DISCOUNT, TOO_LATE, UNKNOWN_AMOUNT, Offer, Ranked, Terms, offers, rank
from gateway.policy.strategies import strategy_of

# Python 3.11 takes 0.15 us to look up an enum's member, and a decision names several.
CHEAPEST, CHEAPEST_IN_SLA, ONLY, FALLBACK = Reason.CHEAPEST, Reason.CHEAPEST_IN_SLA, Reason.ONLY, Reason.FALLBACK
FASTEST, PROBE, STICKY = Reason.FASTEST, Reason.PROBE, Reason.STICKY
DEARER, MISSES_SLA = Reason.DEARER, Reason.MISSES_SLA
CANDIDATES_MAX = 3  # what one reserve can weigh
MISS_PRICE_START, MISS_PRICE_MIN, MISS_PRICE_MAX = 60.0, 30.0, 400.0
MISS_PRICE_STEP, MISS_PRICE_AIM = 0.06, 0.3  # learning rate, and the share of the error budget it aims at
TYPICAL_WEIGHT = 0.05
SESSIONS_MAX = 10_000
CANARY_SHARE = 0.05  # of requests somebody waits for; work with slack goes first


class RouterState(TypedDict):
    """What `export` gives. members: ttft and tpot. typical: by class and objective, joined by a blank."""

    members: dict[str, tuple[EstimatorState, EstimatorState]]
    miss_prices: dict[str, float]
    typical: dict[str, float]


class Router:
    """See the module. One per process; not thread-safe, and need not be: nothing in it awaits."""

    def __init__(self, random: Callable[[], float], *, candidates_max: int = CANDIDATES_MAX) -> None:
        self._random = random
        self._candidates_max = candidates_max
        self._loads: dict[str, Load] = {}
        self._members: dict[str, MemberState] = {}
        self._miss_prices: dict[str, float] = {}
        self._typical: dict[str, float] = {}
        self._homes: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._absorbed: dict[str, tuple[EstimatorState, EstimatorState]] = {}  # of members not seen yet
        self._absorbed_at = 0.0

    def choose(self, ask: RouteAsk, now: float) -> Route | Reject:
        """Candidates best first, everyone else with a reason; or a refusal."""
        fit: list[tuple[Quote, MemberState]] = []
        held: list[tuple[Reason, Quote, MemberState]] = []
        passed: list[PassedOver] = []
        for quote in ask.quotes:
            state = self._state(quote)
            reason = obstacles.hard(ask, quote, state.load, now)
            if reason is not None:
                passed.append(PassedOver(quote.member.name, reason))
            elif state.load.in_flight and (reason := obstacles.soft(state, now)) is not None:
                held.append((reason, quote, state))
            else:
                fit.append((quote, state))
        if not fit and held:
            held = _relax(fit, held)
        if not fit:
            return Reject(RefusalCode.NO_BACKEND.value, tuple(passed), self._retry_after_s(ask, passed, now))
        rising, ranked = self._ranked(ask, fit, now)
        if ranked[0][0] == TOO_LATE and any(reason is Reason.SLOW_START for reason, _, _ in held):
            held = _relax(fit, held)  # rather two requests too many on a cold backend than a certain miss
            rising, ranked = self._ranked(ask, fit, now)
        if held:
            passed.extend(PassedOver(quote.member.name, reason) for reason, quote, _ in held)
        canary = None
        if not ask.tried and ranked[0][3][0] > rising[0][0]:  # somebody is cheaper than the winner
            canary = self._canary(ask, ranked, now)
        return self._answer(ask, rising, ranked, passed, canary)

    def _ranked(
        self, ask: RouteAsk, fit: list[tuple[Quote, MemberState]], now: float
    ) -> tuple[list[Offer], list[Ranked]]:
        rising = offers(ask, fit)
        return rising, rank(ask, rising, self._terms(ask), self._home(ask), self._candidates_max, now)

    def _state(self, quote: Quote) -> MemberState:
        member = quote.member
        state = self._members.get(member.name)
        if state is None:
            load = self._loads.setdefault(member.backend, Load())
            state = self._members[member.name] = MemberState(member.name, load, member.latency)
            if member.name in self._absorbed:
                state.absorb(self._absorbed.pop(member.name), self._absorbed_at)
        return state

    def _terms(self, ask: RouteAsk) -> Terms:
        return Terms(self._miss_prices.get(ask.sla.name, MISS_PRICE_START), self._typical.get(_typical_key(ask), 0.0))

    def _home(self, ask: RouteAsk) -> str | None:
        if ask.session is None or ask.model.sticky is None:
            return None
        return self._homes.get((ask.model.name, ask.session))

    def _canary(self, ask: RouteAsk, ranked: Sequence[Ranked], now: float) -> Ranked | None:
        """The cheapest member below the winner's amount that only an old memory (or none) makes look too slow."""
        _, _, _, (best_amount, _, _, _), (_, _, best_p_miss, _) = ranked[0]
        due = [
            (amount, name, each)
            for each in ranked
            for _, _, name, (amount, _, _, state), (_, _, p_miss, _) in (each,)
            if amount < best_amount and p_miss > best_p_miss and state.wants_canary(now)
        ]
        if not due:
            return None
        _, _, canary = min(due)
        may_go = not sla.bounds_latency(ask.sla) or canary[3][3].hopeful
        return canary if may_go or self._random() < CANARY_SHARE else None

    def _answer(
        self,
        ask: RouteAsk,
        rising: Sequence[Offer],
        ranked: list[Ranked],
        passed: list[PassedOver],
        canary: Ranked | None,
    ) -> Route | Reject:
        order = ranked if canary is None else [canary, *(each for each in ranked if each is not canary)]
        if ask.sla.reject_unmeetable:
            late = [each for each in order if each[0] == TOO_LATE and each is not canary]
            passed.extend(state.late for _, _, _, (_, _, _, state), _ in late)
            order = [each for each in order if each[0] != TOO_LATE or each is canary]
        if not order:
            return Reject(RefusalCode.NO_BACKEND_MEETS_SLA.value, tuple(passed))
        best, wanted = order[0], self._candidates_max
        if len(rising) > wanted:
            passed.extend([_passed_over(each, best) for each in order[wanted:]])
            passed.extend([state.dearer for _, _, _, state in rising[len(ranked) :]])  # the walk ended below them
        first = PROBE if canary is not None else _why(ask, order, rising, self._home(ask))
        choices = [_choice(best, first)]
        choices += [_choice(each, _why_not(each, best)) for each in order[1:wanted]]
        return Route(tuple(choices), tuple(passed))

    def _retry_after_s(self, ask: RouteAsk, passed: Sequence[PassedOver], now: float) -> float | None:
        for_now = {each.member for each in passed if each.reason in (Reason.BREAKER_OPEN, Reason.SATURATED)}
        waits = [
            self._loads[quote.member.backend].rests_until() - now
            for quote in ask.quotes
            if quote.member.name in for_now
        ]
        return max(1.0, min(waits)) if waits else None

    def on_start(self, ask: RouteAsk, choice: Choice, now: float) -> Ticket:
        """An attempt begins. Any candidate of the route may be taken."""
        quote = choice.quote
        state = self._state(quote)
        load = state.load
        load.concurrent_max = ask.backends[quote.member.backend].concurrent_max
        ticket = Ticket(
            member=state,
            sla=ask.sla,
            stream=ask.stream,
            reason=choice.reason,
            first_attempt=not ask.tried,
            accepted=ask.accepted,
            started=now,
            input_tokens=quote.input_tokens,
            features=(1.0, 0.001 * quote.input_tokens, 0.001 * load.queued_tokens, float(load.in_flight)),
            active=load.active(),
        )
        fleet.begin(ticket, choice.ttft_ms, choice.tpot_ms, quote.output_tokens_max)
        self._remember(ask, choice)
        return ticket

    def _remember(self, ask: RouteAsk, choice: Choice) -> None:
        amount = strategy_of(ask.model)(choice.quote)
        if amount is not None:
            key = _typical_key(ask)
            typical = self._typical.get(key, float(amount))
            self._typical[key] = typical + TYPICAL_WEIGHT * (amount - typical)
        if ask.session is not None and ask.model.sticky is not None and choice.reason is not PROBE:
            home = (ask.model.name, ask.session)
            self._homes[home] = choice.quote.member.name
            self._homes.move_to_end(home)
            if len(self._homes) > SESSIONS_MAX:
                self._homes.popitem(last=False)

    def on_first_token(self, ticket: Ticket, now: float) -> None:
        """The first content of a stream arrived from upstream."""
        fleet.first_token(ticket, now)

    def on_end(
        self,
        ticket: Ticket,
        now: float,
        *,
        output_tokens: int,
        failure: FailureKind | None,
        client_left: bool,
        retry_after_s: float | None = None,
    ) -> None:
        """An attempt ended: served (no failure), failed, or its client left (or the ledger refused): censored."""
        if ticket.ended:
            return
        fleet.finish(
            ticket,
            now,
            output_tokens=output_tokens,
            failure=failure,
            client_left=client_left,
            retry_after_s=retry_after_s,
            random=self._random,
        )
        if failure is None and not client_left and ticket.first_attempt:
            self._price_miss(ticket, now, output_tokens)

    def _price_miss(self, ticket: Ticket, now: float, output_tokens: int) -> None:
        """A miss makes the next one dearer for its class; one that no choice could have avoided teaches nothing."""
        if ticket.reason is FASTEST or ticket.reason is PROBE:
            return
        kept = fleet.kept_promise(ticket, now, output_tokens)
        if kept is not None:
            name, budget = ticket.sla.name, 1.0 - ticket.sla.target
            price = self._miss_prices.get(name, MISS_PRICE_START)
            price *= math.exp(MISS_PRICE_STEP * ((not kept) - MISS_PRICE_AIM * budget))
            if price < MISS_PRICE_MIN:
                price = MISS_PRICE_MIN
            self._miss_prices[name] = price if price < MISS_PRICE_MAX else MISS_PRICE_MAX

    def drain(self, backend: str) -> None:
        """Send nothing new there."""
        self._loads.setdefault(backend, Load()).drained = True

    def undrain(self, backend: str) -> None:
        """Serve there again."""
        self._loads.setdefault(backend, Load()).drained = False

    def in_flight(self, backend: str) -> int:
        """Attempts there now, from on_start to on_end."""
        load = self._loads.get(backend)
        return 0 if load is None else load.in_flight

    def breaker(self, backend: str) -> Phase:
        """Where its breaker stands. An open one whose wait is over stays `open` until its trial is sent."""
        load = self._loads.get(backend)
        return Phase.CLOSED if load is None else load.breaker.phase

    def export(self, now: float) -> RouterState:
        """What is worth keeping over a restart or telling another replica: plain values only."""
        return {
            "members": {name: state.export(now) for name, state in self._members.items() if state.seen},
            "miss_prices": dict(self._miss_prices),
            "typical": dict(self._typical),
        }

    def absorb(self, state: RouterState, now: float) -> None:
        """Start from what an earlier process learned; per member whoever has seen more samples is believed."""
        self._absorbed.update(state["members"])
        self._absorbed_at = now
        for name in self._absorbed.keys() & self._members.keys():
            self._members[name].absorb(self._absorbed.pop(name), now)
        for name, price in state["miss_prices"].items():
            self._miss_prices.setdefault(name, min(MISS_PRICE_MAX, max(MISS_PRICE_MIN, price)))
        for key, amount in state["typical"].items():
            self._typical.setdefault(key, amount)


def _relax(
    fit: list[tuple[Quote, MemberState]], held: list[tuple[Reason, Quote, MemberState]]
) -> list[tuple[Reason, Quote, MemberState]]:
    """Nobody serves without an obstacle: those in slow start may, else the silent ones. Returns who stays held."""
    reasons = {reason for reason, _, _ in held}
    given_way = Reason.SLOW_START if Reason.SLOW_START in reasons else Reason.SILENT
    fit.extend((quote, state) for reason, quote, state in held if reason is given_way)
    return [each for each in held if each[0] is not given_way]


def _typical_key(ask: RouteAsk) -> str:
    return ask.sla.name + " " + ask.model.objective  # a StrEnum is text: no slow `.value` in the hot path


def _choice(each: Ranked, reason: Reason) -> Choice:
    _, _, _, (_, _, quote, _), (ttft_ms, tpot_ms, p_miss, _) = each
    return Choice(quote, reason, ttft_ms, tpot_ms, p_miss)


def _why(ask: RouteAsk, order: Sequence[Ranked], rising: Sequence[Offer], home: str | None) -> Reason:
    """Why the first candidate serves."""
    bucket, rank_of_best, name, (amount, _, _, _), _ = order[0]
    if ask.tried:
        return FALLBACK
    if bucket == TOO_LATE:
        return FASTEST
    if len(rising) == 1:
        return ONLY
    if amount <= rising[0][0]:
        return CHEAPEST
    if name == home and len(order) > 1 and rank_of_best + STICKY_DISCOUNT > order[1][1]:
        return STICKY
    return CHEAPEST_IN_SLA


def _why_not(each: Ranked, best: Ranked) -> Reason:
    """Why a later one does not: late, of unknown amount, dearer, or cheaper but likelier to be late."""
    bucket, _, _, (amount, _, _, _), (_, _, p_miss, _) = each
    _, _, _, (best_amount, _, _, _), (_, _, best_p_miss, _) = best
    if bucket == TOO_LATE:
        return MISSES_SLA
    if bucket == UNKNOWN_AMOUNT:
        return Reason.ENERGY_UNKNOWN
    if amount >= best_amount:
        return DEARER
    return MISSES_SLA if p_miss > best_p_miss else STICKY


def _passed_over(each: Ranked, best: Ranked) -> PassedOver:
    reason, state = _why_not(each, best), each[3][3]
    if reason is DEARER:
        return state.dearer
    return state.late if reason is MISSES_SLA else PassedOver(state.name, reason)

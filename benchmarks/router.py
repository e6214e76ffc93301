"""How long a routing decision takes: `python -m benchmarks.router --help`.

Times the production router on warm members, each call by itself, and reports median and p99 in microseconds of wall
time, and the mean of CPU time. No socket, no ledger: the decision alone, and the three callbacks of one attempt.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random
from statistics import median
from time import perf_counter_ns, process_time_ns

from gateway.domain.amounts import Amounts
from gateway.domain.catalog import Backend, Latency, Member, ServedModel, SlaClass
from gateway.domain.profile import PriceTier, Rates, TokenRates
from gateway.domain.route import Quote, Route, RouteAsk
from gateway.policy.router import Router

NO_RATES = TokenRates(0, 0, 0, 0, 0, 0, None, None, None)
RATES = Rates("bench", "1", (PriceTier(0, NO_RATES, NO_RATES),), None, 0, None, None, 0, "E", "facility", 2.0, None)
CLASSES = {
    "loose": SlaClass("loose", ttft_ms=30_000, tpot_ms=500),
    "tight": SlaClass("tight", ttft_ms=700, tpot_ms=60),
    "impossible": SlaClass("impossible", ttft_ms=5, tpot_ms=1),
    "deadline": SlaClass("deadline", deadline_ms=60_000),
}


def an_ask(members: int, sla: SlaClass) -> RouteAsk:
    """Members that are the dearer the faster they are, as a market has them."""
    quotes = []
    for place in range(members):
        share = place / max(1, members - 1)
        latency = Latency(1_500.0 - 1_450.0 * share, 50.0, 40.0 - 35.0 * share, 0.5)
        member = Member(f"b{place}/m", f"b{place}", "m", RATES, latency)
        amounts = Amounts(int(1_000 * 20**share), 1, 1, 1_300, 1)
        quotes.append(Quote(member, 1_000, True, 300, 4_096, 4_096, amounts))
    backends = {quote.member.backend: Backend(quote.member.backend, "http://x") for quote in quotes}
    model = ServedModel("m", tuple(quote.member for quote in quotes), sticky="session")
    return RouteAsk(model, sla, tuple(quotes), frozenset({"chat"}), True, backends, 0.0, session="s")


def warmed(ask: RouteAsk) -> Router:
    """Every member has answered 50 times near its profile and holds a few requests."""
    chance = Random(1)
    router = Router(chance.random)
    for turn in range(50):
        for quote in ask.quotes:
            now = float(turn)
            single = replace(ask, quotes=(quote,), accepted=now, session=None)
            route = router.choose(single, now)
            assert isinstance(route, Route)
            ticket = router.on_start(single, route.candidates[0], now)
            first = now + quote.member.latency.ttft_base_ms * chance.uniform(0.9, 1.2) / 1_000
            router.on_first_token(ticket, first)
            router.on_end(ticket, first + 1.0, output_tokens=50, failure=None, client_left=False)
            if turn >= 47:
                router.on_start(single, route.candidates[0], now)
    return router


def timed(call: Callable[[], object], calls: int) -> dict[str, float]:
    """Microseconds: median and p99 of wall time, mean of CPU time."""
    took = []
    cpu = process_time_ns()
    for _ in range(calls):
        began = perf_counter_ns()
        call()
        took.append(perf_counter_ns() - began)
    cpu = process_time_ns() - cpu
    took.sort()
    figures = {"median_us": median(took), "p99_us": took[int(0.99 * calls)], "cpu_mean_us": cpu / calls}
    return {name: round(figure / 1_000, 2) for name, figure in figures.items()}


def one_attempt(router: Router, ask: RouteAsk) -> Callable[[], None]:
    """Start, first token, end; a second of the router's time passes with each."""
    route = router.choose(ask, 50.5)
    assert isinstance(route, Route)
    choice, now = route.candidates[0], 50.5

    def attempt() -> None:
        nonlocal now
        now += 0.1
        ticket = router.on_start(ask, choice, now)
        router.on_first_token(ticket, now + 0.3)
        router.on_end(ticket, now + 2.3, output_tokens=300, failure=None, client_left=False)

    return attempt


def main(arguments: Sequence[str] | None = None) -> None:
    """Print one JSON line per figure."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.router",
        description="Time the router's decision and its callbacks.",
        epilog="example: python -m benchmarks.router --members 10 100 --calls 20000",
    )
    parser.add_argument("--members", type=int, nargs="+", default=[3, 10, 100], help="sizes of the pool")
    parser.add_argument("--calls", type=int, default=20_000, help="calls timed per figure")
    options = parser.parse_args(arguments)
    for members in options.members:
        for name, sla in CLASSES.items():
            ask = replace(an_ask(members, sla), accepted=50.5)
            router = warmed(ask)
            figures = timed(lambda router=router, ask=ask: router.choose(ask, 50.5), options.calls)  # type: ignore[misc]
            print(json.dumps({"what": "choose", "members": members, "class": name, **figures}))
    ask = replace(an_ask(10, CLASSES["tight"]), accepted=50.5)
    figures = timed(one_attempt(warmed(ask), ask), options.calls)
    print(json.dumps({"what": "callbacks of one attempt", "members": 10, "class": "tight", **figures}))


if __name__ == "__main__":
    main()

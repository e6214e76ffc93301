"""What each subject is asked, and what is read off it. One function per workload; figures by name."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from statistics import median

from benchmarks.bodies import long_chats, small
from benchmarks.load import Load, Outcome
from benchmarks.mock_upstream import EVENTS
from benchmarks.processes import Spent
from benchmarks.subjects import Target

SETTLE_SECONDS = 0.4  # what a server still does after its last answer (settling, records, metrics) is its cost too
FAILURES_MAX = 0.001
DELAY_RAMP_SECONDS = 2.0
RAMP_SECONDS = 0.4
STEADY_SECONDS = 1.0  # after the ramp and before the first of the streams, which take 2 s, ends

Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of each; smaller for a subject that is slower by two orders."""

    warm: int = 400
    small: int = 3_000
    long: int = 200
    paced: int = 900
    paced_rate: float = 150.0
    streams: int = 100
    many_streams: int = 500
    connections: int = 32


FULL = Sizes()
QUICK = Sizes(warm=200, small=1_000, long=80, paced=300, many_streams=500)
SLOW = Sizes(warm=40, small=200, long=80, paced=120, paced_rate=10.0, streams=8, many_streams=0, connections=8)


async def warm_up(target: Target, sizes: Sizes, draw: random.Random) -> Figures:
    """Not measured: connections, first uses, caches of code."""
    sound(await Load(target.port).closed(_small(target, draw, sizes.warm), sizes.connections))
    first, _ = long_chats(draw, 5)
    sound(await Load(target.port).closed([target.request(body) for body in first], 5))
    return {}


async def small_json(target: Target, sizes: Sizes, draw: random.Random) -> Figures:
    """358 bytes up, 0.95 KB down, as fast as it goes."""
    requests = _small(target, draw, sizes.small)
    outcome, spent = await _measured(target, lambda: Load(target.port).closed(requests, sizes.connections))
    return _cpu("small", outcome, spent) | {"small_rps": outcome.answers / outcome.seconds}


async def long_json(target: Target, sizes: Sizes, draw: random.Random) -> Figures:
    """40 messages, 32 KB, at first sight; then each chat again with one more message."""
    first, again = long_chats(draw, sizes.long)
    figures: Figures = {}
    for name, bodies in (("long", first), ("long_again", again)):
        requests = [target.request(body) for body in bodies]
        outcome, spent = await _measured(target, partial(Load(target.port).closed, requests, sizes.connections))
        figures |= _cpu(name, outcome, spent)
    return figures


async def paced_json(target: Target, sizes: Sizes, draw: random.Random) -> Figures:
    """Small requests at a fixed rate: latency, and CPU when every wake-up is paid alone."""
    requests = _small(target, draw, sizes.paced)
    outcome, spent = await _measured(
        target, lambda: Load(target.port).paced(requests, sizes.paced_rate, sizes.connections)
    )
    return _cpu("paced", outcome, spent) | {
        "paced_p50_ms": 1e3 * median(outcome.latencies),
        "paced_p99_ms": 1e3 * _quantile(outcome.latencies, 0.99),
    }


async def relayed_stream(target: Target, sizes: Sizes, draw: random.Random) -> Figures:
    """CPU per event of streams at 20 events a second: of a second in which every stream runs, and of it all."""
    request = target.request(small(draw, stream=True))
    seen = Outcome()
    before = target.server.spent()
    load = asyncio.ensure_future(Load(target.port).streams(request, sizes.streams, RAMP_SECONDS, seen))
    await asyncio.sleep(RAMP_SECONDS + SETTLE_SECONDS)
    begun, events_begun = target.server.spent(), seen.events
    await asyncio.sleep(STEADY_SECONDS)
    steady, events_steady = target.server.spent(), seen.events
    sound(await load)
    await asyncio.sleep(SETTLE_SECONDS)
    after = target.server.spent()
    return {
        "relay_us": 1e6 * (total_cpu(steady) - total_cpu(begun)) / max(1, events_steady - events_begun),
        "chunk_us": 1e6 * (total_cpu(after) - total_cpu(before)) / max(1, seen.events),
        "chunk_p50_ms": 1e3 * median(seen.delays),
    }


async def many_streams(target: Target, sizes: Sizes, draw: random.Random) -> Figures:
    """500 streams at 20 events a second: how late the events are, and whether all of them came."""
    if not sizes.many_streams:
        return {}
    request = target.request(small(draw, stream=True))
    outcome, spent = await _measured(
        target, lambda: Load(target.port).streams(request, sizes.many_streams, DELAY_RAMP_SECONDS)
    )
    return {
        "streams_p99_ms": 1e3 * _quantile(outcome.delays, 0.99),
        "streams_delivered": outcome.events / (EVENTS * sizes.many_streams),
        "streams_chunk_us": 1e6 * (spent.server_cpu + spent.store_cpu) / max(1, outcome.events),
    }


async def memory(target: Target, sizes: Sizes, draw: random.Random) -> Figures:
    """Resident, after all of the above."""
    now = target.server.spent()
    return {"server_mib": now.server_mib, "store_mib": now.store_mib}


WORKLOADS = (warm_up, small_json, long_json, paced_json, relayed_stream, many_streams, memory)


async def growth(target: Target, requests: int, draw: random.Random, tell: Callable[[str], None]) -> list[float]:
    """Resident MiB of the server before, and after each tenth of so many small requests."""
    sizes = [target.server.spent().server_mib]
    for tenth in range(1, 11):
        sound(await Load(target.port).closed(_small(target, draw, requests // 10), 32))
        await asyncio.sleep(SETTLE_SECONDS)
        sizes.append(target.server.spent().server_mib)
        tell(f"growth: {tenth * requests // 10:,} requests, {sizes[-1]:.1f} MiB")
    return sizes


def total_cpu(spent: Spent) -> float:
    """Of the server and its store."""
    return spent.server_cpu + spent.store_cpu


def _small(target: Target, draw: random.Random, count: int) -> list[bytes]:
    return [target.request(small(draw)) for _ in range(count)]


async def _measured(target: Target, work: Callable[[], Awaitable[Outcome]]) -> tuple[Outcome, Spent]:
    before = target.server.spent()
    outcome = sound(await work())
    await asyncio.sleep(SETTLE_SECONDS)
    after = target.server.spent()
    return outcome, Spent(
        after.server_cpu - before.server_cpu, after.store_cpu - before.store_cpu, after.server_mib, after.store_mib
    )


def _cpu(name: str, outcome: Outcome, spent: Spent) -> Figures:
    return {
        f"{name}_cpu_ms": 1e3 * (spent.server_cpu + spent.store_cpu) / outcome.answers,
        f"{name}_server_cpu_ms": 1e3 * spent.server_cpu / outcome.answers,
        f"{name}_store_cpu_ms": 1e3 * spent.store_cpu / outcome.answers,
    }


def sound(outcome: Outcome) -> Outcome:
    """Raises when answers failed: a figure over errors is no figure."""
    if outcome.failures > FAILURES_MAX * (outcome.answers + outcome.failures):
        raise RuntimeError(f"{outcome.failures} of {outcome.answers + outcome.failures} failed, e.g. {outcome.failure}")
    return outcome


def _quantile(values: list[float], q: float) -> float:
    return sorted(values)[min(len(values) - 1, int(q * len(values)))]

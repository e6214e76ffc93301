"""What the ledger costs: CPU of ours per reserve and settle through the channel, and of the server per script.

    python -m benchmarks.ledger                     an embedded Valkey, 32 at once, both event loops
    python -m benchmarks.ledger --at-once 1         one after the other: nothing shares a write
    python -m benchmarks.ledger --binary redis-server
    python -m benchmarks.ledger --compare           the channel beside redis-py, one small script, interleaved

Each request has what the product gives it: tallies of key, team and org, two budgets that enforce and one that
observes, limits on requests, tokens and concurrency of its key, a session and a summary; two candidates. CPU is user
plus system time of this process, so the server's share is not in it; that is the server's own user plus system time
(INFO cpu), also per request. script_us is INFO commandstats, wall time per script: on a busy machine it counts the
waiting too. aof_bytes is what the append-only file grew by.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from hashlib import sha1
from pathlib import Path
from typing import cast

import uvloop
from redis.asyncio import Redis

from gateway.domain.amounts import Amounts, Unit
from gateway.domain.budgets import Ask, Budget, Candidate, Hold, Mode, WindowKind
from gateway.domain.tenancy import Identity
from gateway.ledger.channel import ScriptChannel
from gateway.ledger.embedded import EmbeddedValkey
from gateway.ledger.ids import new_id
from gateway.ledger.redis import RedisLedger
from gateway.ledger.script import Script
from gateway.policy.claims import Claims

KEYS = 20
BUDGETS = (
    Budget("month", {"team": "support"}, {Unit.USD_NANOS: 10**15}, WindowKind.MONTH, "Australia/Sydney"),
    Budget("day", {"org": "default"}, {Unit.USD_NANOS: 10**15}, WindowKind.DAY, "Australia/Sydney"),
    Budget("energy", {"team": "support"}, {Unit.ENERGY_MJ: 10**12}, WindowKind.MONTH, "Australia/Sydney", Mode.OBSERVE),
    Budget(
        "rate",
        {"key": "*"},
        {Unit.REQUESTS: 10**9, Unit.TOKENS: 10**12, Unit.CONCURRENT: 10**6},
        WindowKind.MINUTE,
        kind="rate",
    ),
)


@dataclass(frozen=True)
class Figures:
    """One round. Microseconds per request, which is one reserve and one settle."""

    loop: str
    at_once: int
    requests_per_s: float
    client_cpu_us: float
    server_cpu_us: float
    script_us: float  # wall time in the server, per script
    aof_bytes: int


async def round_of(url: str, loop: str, requests: int, at_once: int, *, plain: bool) -> Figures:
    ledger = RedisLedger(url, deadline_s=10)
    await ledger.start()
    claims = Claims(() if plain else BUDGETS)
    await drive(ledger, claims, requests // 5, at_once, plain=plain)
    await ledger.channel.command("CONFIG", "RESETSTAT")
    grown, served, cpu, began = await aof_bytes(ledger), await server_cpu_s(ledger), cpu_s(), time.perf_counter()
    await drive(ledger, claims, requests, at_once, plain=plain)
    cpu, took, served = cpu_s() - cpu, time.perf_counter() - began, await server_cpu_s(ledger) - served
    grown = await aof_bytes(ledger) - grown
    stats = cast(bytes, await ledger.channel.command("INFO", "commandstats")).decode()
    await ledger.close()
    return Figures(
        loop=loop,
        at_once=at_once,
        requests_per_s=round(requests / took),
        client_cpu_us=round(cpu / requests * 1e6, 1),
        server_cpu_us=round(served / requests * 1e6, 1),
        script_us=evalsha_us(stats),
        aof_bytes=round(grown / requests),
    )


async def compare(url: str, calls: int, at_once: int) -> dict[str, float]:
    """CPU microseconds per call of one small script through the channel and through redis-py."""
    text = b"return redis.call('HINCRBY', KEYS[1], 'f', ARGV[1])"
    script = Script("small", text, sha1(text, usedforsecurity=False).hexdigest().encode())
    channel, client = ScriptChannel(url, (script,), deadline_s=10), Redis.from_url(url, max_connections=at_once)
    await channel.connect()

    async def through_channel() -> None:
        await channel.call(script, ("k",), (1,))

    async def through_redis_py() -> None:
        await cast(Awaitable[object], client.evalsha(script.sha.decode(), 1, "k", "1"))

    figures = {}
    for name, call in (("channel", through_channel), ("redis-py", through_redis_py)):
        left = iter(range(calls))

        async def worker(call: Callable[[], Awaitable[None]] = call, left: Iterator[int] = left) -> None:
            for _ in left:
                await call()

        cpu = cpu_s()
        await asyncio.gather(*(worker() for _ in range(at_once)))
        figures[name] = round((cpu_s() - cpu) / calls * 1e6, 1)
    await client.aclose()
    await channel.close()
    return figures


async def drive(ledger: RedisLedger, claims: Claims, requests: int, at_once: int, *, plain: bool) -> None:
    left = iter(range(requests))
    identities = [Identity(f"k{number}", "support") for number in range(KEYS)]
    held, spent = Amounts(900_000, 60_000, 7_000, 900, 1), Amounts(310_000, 21_000, 2_400, 420, 1)

    async def worker() -> None:
        for number in left:
            identity = identities[number % KEYS]
            counters = claims.counters(identity, "chat", None if plain else f"s{number % 100}", ledger.now_ms())
            candidates = (Candidate("gpu-a/m", held, counters), Candidate("hosted/m", held, counters))
            ask = Ask(
                claims.root(identity),
                new_id(ledger.now_ms(), os.urandom(10)),
                1,
                candidates,
                spent,
                60_000,
                identity.key_id,
            )
            hold = await ledger.reserve(ask)
            assert isinstance(hold, Hold), hold
            await ledger.settle(hold, spent, "provider", summary=b"" if plain else b'{"usage":"' + b"x" * 380 + b'"}')

    await asyncio.gather(*(worker() for _ in range(at_once)))


def cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def server_cpu_s(ledger: RedisLedger) -> float:
    values = await info(ledger, "cpu")
    return float(values["used_cpu_user"]) + float(values["used_cpu_sys"])


async def aof_bytes(ledger: RedisLedger) -> int:
    return int((await info(ledger, "persistence"))["aof_current_size"])


async def info(ledger: RedisLedger, section: str) -> dict[str, str]:
    text = cast(bytes, await ledger.channel.command("INFO", section)).decode()
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def evalsha_us(stats: str) -> float:
    """Microseconds per script, the mean of reserve and settle."""
    line = next(line for line in stats.splitlines() if line.startswith("cmdstat_evalsha:"))
    return float(dict(pair.split("=") for pair in line.split(":", 1)[1].split(","))["usec_per_call"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=5_000, help="per round (default 5000)")
    parser.add_argument("--at-once", type=int, default=32, help="requests in flight (default 32)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds per event loop (default 3)")
    parser.add_argument("--plain", action="store_true", help="tallies only: no budgets, session or summary")
    parser.add_argument("--binary", help="another server than the embedded one, e.g. redis-server")
    parser.add_argument("--compare", action="store_true", help="the channel beside redis-py")
    arguments = parser.parse_args()
    binary = shutil.which(arguments.binary) if arguments.binary else None
    with (
        tempfile.TemporaryDirectory() as directory,
        EmbeddedValkey(Path(directory), binary=Path(binary) if binary else None) as server,
    ):
        for loop, run in (("asyncio", asyncio.run), ("uvloop", uvloop.run)):
            for _ in range(arguments.rounds):
                if arguments.compare:
                    compared = run(compare(server.url, arguments.requests, arguments.at_once))
                    print(json.dumps({"loop": loop, "client_cpu_us": compared}), flush=True)
                    continue
                figures = run(round_of(server.url, loop, arguments.requests, arguments.at_once, plain=arguments.plain))
                print(json.dumps(figures.__dict__), flush=True)


if __name__ == "__main__":
    main()

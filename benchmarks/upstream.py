"""What asking an upstream costs our process: our own connections against a bare aiohttp session, interleaved.

    python -m benchmarks.upstream              # a table, about fifteen seconds
    python -m benchmarks.upstream --rounds 7

CPU (user + system) of the asking process alone, in microseconds: for a small and a 32 KB JSON request, 16 at once,
and for a chunk of 100 streams of 40 chunks at 50 a second, each stream's request included.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import statistics
import sys
from collections.abc import Awaitable, Callable

import uvloop
from aiohttp import ClientSession, ClientTimeout, TCPConnector

from benchmarks.processes import running
from gateway.backends.http import HttpUpstream, HttpUpstreams
from gateway.domain.catalog import Backend, Timeouts

REQUESTS = 2_000
AT_ONCE = 16
STREAMS = 100
ANSWER_BYTES_MAX = 1 << 20
PATH = "/chat/completions"
TIMEOUTS = Timeouts()
Ask = Callable[[bytes], Awaitable[int]]  # returns how many units (answers or chunks) came


def prompt(characters: int, *, stream: bool) -> bytes:
    """A request's body."""
    return b'{"stream":%b,"prompt":"%b"}' % (b"true" if stream else b"false", b"x" * characters)


def by_us(upstream: HttpUpstream) -> dict[str, Ask]:
    """Through the port, as the pipeline does."""

    async def whole(body: bytes) -> int:
        answer = await upstream.send(
            PATH, body, stream=False, timeouts=TIMEOUTS, traceparent=None, request_id="benchmark-1"
        )
        try:
            return min(1, len(await answer.body(ANSWER_BYTES_MAX)))
        finally:
            answer.close()

    async def stream(body: bytes) -> int:
        answer = await upstream.send(
            PATH, body, stream=True, timeouts=TIMEOUTS, traceparent=None, request_id="benchmark-1"
        )
        try:
            return sum([1 async for _ in answer.chunks()])
        finally:
            answer.close()

    return {"whole": whole, "stream": stream}


def by_aiohttp(session: ClientSession, url: str) -> dict[str, Ask]:
    """The plainest use of the session."""
    headers = {"content-type": "application/json"}

    async def whole(body: bytes) -> int:
        async with session.post(url, data=body, headers=headers, allow_redirects=False) as answer:
            return min(1, len(await answer.read()))

    async def stream(body: bytes) -> int:
        async with session.post(url, data=body, headers=headers, allow_redirects=False) as answer:
            return sum([1 async for _ in answer.content.iter_any()])

    return {"whole": whole, "stream": stream}


def cpu_seconds() -> float:
    """Of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def us_per_unit(ask: Ask, body: bytes, requests: int, at_once: int) -> float:
    """CPU microseconds for each answer, or each chunk."""
    bodies = iter([body] * requests)

    async def worker() -> int:
        units = 0
        for mine in bodies:
            units += await ask(mine)
        return units

    before = cpu_seconds()
    units = sum(await asyncio.gather(*(worker() for _ in range(at_once))))
    return (cpu_seconds() - before) * 1e6 / units


async def measure(rounds: int) -> None:
    """Print the table."""
    mock = [sys.executable, "-m", "benchmarks.mock_upstream", "--port", "0", "--rate", "50"]
    figures: dict[tuple[str, str], list[float]] = {}
    async with running(mock) as server:
        url = f"http://127.0.0.1:{server.ready['port']}/v1"
        upstreams = HttpUpstreams()
        upstreams.apply({"mock": Backend("mock", url)})
        timeout = ClientTimeout(total=900)
        async with ClientSession(connector=TCPConnector(limit=0), timeout=timeout, auto_decompress=False) as session:
            asks = {"ours": by_us(upstreams.get("mock")), "aiohttp": by_aiohttp(session, url + PATH)}
            for _ in range(rounds):
                for name, ask in asks.items():
                    for kind, characters in (("small", 200), ("32 KB", 32_000)):
                        us = await us_per_unit(ask["whole"], prompt(characters, stream=False), REQUESTS, AT_ONCE)
                        figures.setdefault((kind, name), []).append(us)
                    us = await us_per_unit(ask["stream"], prompt(200, stream=True), STREAMS, STREAMS)
                    figures.setdefault(("chunk", name), []).append(us)
        await upstreams.close()
    for (kind, name), values in sorted(figures.items()):
        print(f"{kind:6} {name:8} {statistics.median(values):6.1f} us  [{min(values):.1f}-{max(values):.1f}]")


def main() -> None:
    """Parse and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="medians are taken over these")
    uvloop.run(measure(parser.parse_args().rounds))


if __name__ == "__main__":
    main()

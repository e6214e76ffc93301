"""What the gateway costs beside a bare forwarder, in CPU, latency, memory and time to start.

    python -m benchmarks                            # five rounds, about ten minutes
    python -m benchmarks --rounds 2 --quick         # about two minutes
    python -m benchmarks --litellm                  # with LiteLLM's proxy, in .venv-litellm, installed when absent
    python -m benchmarks --growth 100000            # resident memory over so many requests
    python -m benchmarks --profile small            # where the time goes (py-spy, in .venv-pyspy)

Each round starts every subject anew, in random order. Results go to benchmarks/results/ as JSON and Markdown.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import uvloop

from benchmarks import profile, report
from benchmarks.bodies import small
from benchmarks.load import Load
from benchmarks.processes import running
from benchmarks.subjects import SUBJECTS, Place, Target, litellm_venv
from benchmarks.workloads import FULL, QUICK, SLOW, WORKLOADS, Figures, Sizes, growth

RESULTS = Path(__file__).parent / "results"
LITELLM_ROUNDS_MAX = 3
LITELLM_PACKAGES = ("litellm[proxy]", "httptools", "prometheus-client", "opentelemetry-api", "opentelemetry-sdk")
ASK_AGAIN_SECONDS = 0.02
T = TypeVar("T")


def tell(line: str) -> None:
    """Progress, to stderr."""
    print(line, file=sys.stderr, flush=True)


async def one_subject(name: str, place: Place, sizes: Sizes, draw: random.Random) -> Figures:
    """Start it, time its first answer, run every workload, end it."""
    started = time.perf_counter()
    figures: Figures = {}
    async with SUBJECTS[name](place) as target:
        await first_answer(target, draw)
        spent = target.server.spent()
        figures |= {"start_s": time.perf_counter() - started, "start_cpu_s": spent.server_cpu + spent.store_cpu}
        for workload in WORKLOADS:
            tell(f"  {name}: {workload.__name__}")
            figures |= await workload(target, sizes, draw)
    return figures


async def first_answer(target: Target, draw: random.Random) -> None:
    """Ask until an answer is a 200."""
    for _ in range(500):
        outcome = await Load(target.port).closed([target.request(small(draw))], 1)
        if outcome.answers:
            return
        await asyncio.sleep(ASK_AGAIN_SECONDS)
    raise RuntimeError(f"no good answer within {500 * ASK_AGAIN_SECONDS:.0f} s: {outcome.failure}")


async def compare(names: Sequence[str], rounds: int, sizes: Sizes, seed: int) -> dict[str, list[Figures]]:
    """All rounds. The first start of a subject, which may compile and create, is not measured."""
    draw = random.Random(seed)
    found: dict[str, list[Figures]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as scratch:
        async with running([sys.executable, "-m", "benchmarks.mock_upstream"]) as mock:
            places = {name: place_of(name, int(str(mock.ready["port"])), Path(scratch)) for name in names}
            for name in names:
                tell(f"first start of {name}")
                async with SUBJECTS[name](places[name]) as target:
                    await first_answer(target, draw)
            for number in range(1, rounds + 1):
                for name in draw.sample(list(names), len(names)):
                    if name == "litellm" and number > LITELLM_ROUNDS_MAX:
                        continue
                    tell(f"round {number} of {rounds}: {name}")
                    found[name].append(
                        await one_subject(name, places[name], SLOW if name == "litellm" else sizes, draw)
                    )
    return found


def place_of(name: str, upstream_port: int, scratch: Path) -> Place:
    """A directory of its own."""
    directory = scratch / name
    directory.mkdir()
    return Place(upstream_port, directory)


async def grow(requests: int, seed: int) -> list[float]:
    """Resident memory of the gateway over many requests."""
    return await with_gateway(seed, lambda target, draw: growth(target, requests, draw, tell))


async def with_gateway(seed: int, work: Callable[[Target, random.Random], Awaitable[T]]) -> T:
    """Run `work` on a gateway that has answered."""
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory() as scratch:
        async with running([sys.executable, "-m", "benchmarks.mock_upstream"]) as mock:
            place = place_of("joulegate", int(str(mock.ready["port"])), Path(scratch))
            async with SUBJECTS["joulegate"](place) as target:
                await first_answer(target, draw)
                return await work(target, draw)


def install_litellm() -> None:
    """Into .venv-litellm, from wheels only."""
    if (litellm_venv() / "bin" / "litellm").exists():
        return
    tell("installing LiteLLM into .venv-litellm (some minutes)")
    subprocess.run([sys.executable, "-m", "venv", str(litellm_venv())], check=True)
    pip = [str(litellm_venv() / "bin" / "python"), "-m", "pip", "install", "-q", "--only-binary", ":all:"]
    subprocess.run([*pip, *LITELLM_PACKAGES], check=True)


def save(name: str, found: object, text: str) -> None:
    """JSON and Markdown beside each other."""
    RESULTS.mkdir(exist_ok=True)
    stamp = datetime.now(UTC).strftime("%Y-%m-%d")
    (RESULTS / f"{stamp}-{name}.json").write_text(json.dumps(found, indent=1) + "\n")
    (RESULTS / f"{stamp}-{name}.md").write_text(text + "\n")
    tell(f"written: benchmarks/results/{stamp}-{name}.json and .md")


def main() -> None:
    """Parse, measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="how often each subject is started and measured")
    parser.add_argument("--quick", action="store_true", help="a third of the requests")
    parser.add_argument("--litellm", action="store_true", help="measure LiteLLM too; installs it when absent")
    parser.add_argument("--only", nargs="+", choices=list(SUBJECTS), help="these subjects")
    parser.add_argument("--growth", type=int, metavar="REQUESTS", help="instead: resident memory over so many requests")
    parser.add_argument("--profile", choices=sorted(profile.LOADS), help="instead: where the gateway's time goes")
    parser.add_argument("--seed", type=int, default=1, help="of the order of subjects and the words of prompts")
    parser.add_argument("--json", action="store_true", help="print JSON instead of Markdown")
    parser.add_argument("--save", default="gateway", metavar="NAME", help="name of the files in benchmarks/results/")
    asked = parser.parse_args()
    found, text = measure(asked)
    save(asked.save, found, text)
    print(json.dumps(found, indent=1) if asked.json else text)


def measure(asked: argparse.Namespace) -> tuple[object, str]:
    """What was asked for, as data and as text."""
    if asked.growth:
        asked.save = "growth" if asked.save == "gateway" else asked.save
        sizes = uvloop.run(grow(asked.growth, asked.seed))
        lines = [f"| {tenth * asked.growth // 10:,} | {mib:.1f} |" for tenth, mib in enumerate(sizes)]
        return {"requests": asked.growth, "server_mib": sizes}, "\n".join(["| requests | MiB |", "|---|---|", *lines])
    if asked.profile:
        asked.save = f"profile-{asked.profile}" if asked.save == "gateway" else asked.save
        tool = profile.install(tell)
        stacks = uvloop.run(
            with_gateway(asked.seed, lambda target, draw: profile.sample(target, asked.profile, tool, draw))
        )
        return profile.areas(stacks), profile.text(stacks)
    names = asked.only or [name for name in SUBJECTS if name != "litellm" or asked.litellm]
    if "litellm" in names:
        install_litellm()
    rounds = uvloop.run(compare(names, asked.rounds, QUICK if asked.quick else FULL, asked.seed))
    found = {"machine": report.machine(), "summary": report.summary(rounds), "rounds": rounds}
    return found, report.table(rounds)


if __name__ == "__main__":
    main()

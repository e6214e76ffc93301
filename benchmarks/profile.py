"""Where the gateway's time goes: py-spy samples it under one kind of load; samples are summed by area and by function.

py-spy is installed into .venv-pyspy when absent; attaching needs root, or kernel.yama.ptrace_scope = 0.
"""

from __future__ import annotations

import asyncio
import random
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

from benchmarks.bodies import long_chats, small
from benchmarks.load import Load, Outcome
from benchmarks.subjects import Target

SECONDS = 10
RATE = 400
TOP = 30
WAITING = ("wait (threading", "Condition.wait (", "_worker (concurrent", "WorkerThread.run (anyio", "get (queue")
Stack = tuple[str, ...]  # outermost first, "function (file:line)"

AREAS = (
    (re.compile(r"gateway/(\w+)/"), r"gateway/\1"),
    (re.compile(r"aiohttp/(client|connector|resolver)"), "aiohttp client"),
    (re.compile(r"aiohttp/web"), "aiohttp server"),
    (re.compile(r"aiohttp/"), "aiohttp, both"),
    (re.compile(r"(redis|hiredis)/"), "redis client"),
    (re.compile(r"prometheus_client/"), "prometheus client"),
    (re.compile(r"(multidict|yarl|frozenlist|propcache)/"), "multidict, yarl"),
    (re.compile(r"(asyncio|uvloop)/"), "asyncio and uvloop"),
)


def install(tell: Callable[[str], None]) -> Path:
    """The py-spy program."""
    venv = Path(__file__).parent.parent / ".venv-pyspy"
    program = venv / "bin" / "py-spy"
    if not program.exists():
        tell("installing py-spy into .venv-pyspy")
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        pip = [str(venv / "bin" / "python"), "-m", "pip", "install", "-q", "--only-binary", ":all:", "py-spy"]
        subprocess.run(pip, check=True)
    return program


async def _small(target: Target, draw: random.Random) -> Outcome:
    return await Load(target.port).closed([target.request(small(draw)) for _ in range(1_000)], 32)


async def _long(target: Target, draw: random.Random) -> Outcome:
    return await Load(target.port).closed([target.request(body) for body in long_chats(draw, 100)[0]], 8)


async def _stream(target: Target, draw: random.Random) -> Outcome:
    return await Load(target.port).streams(target.request(small(draw, stream=True)), 300, 1.0)


LOADS: dict[str, Callable[[Target, random.Random], Awaitable[Outcome]]] = {
    "small": _small,
    "long": _long,
    "stream": _stream,
}


async def sample(target: Target, load: str, program: Path, draw: random.Random) -> dict[Stack, int]:
    """Samples of the serving process while it is under that load."""
    await LOADS[load](target, draw)
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "stacks"
        spy = await asyncio.create_subprocess_exec(
            str(program), "record", "--pid", str(target.server.process.pid), "--format", "raw",
            "--rate", str(RATE), "--duration", str(SECONDS), "--output", str(out),
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        ended = asyncio.ensure_future(spy.communicate())
        while not ended.done():
            await LOADS[load](target, draw)
        if not out.exists():
            raise RuntimeError(f"py-spy could not attach: {ended.result()[1].decode(errors='replace')[-500:]}")
        return parse(out.read_text())


def parse(raw: str) -> dict[Stack, int]:
    """py-spy's raw format: frames divided by semicolons, then a count. Threads that wait on a lock are left out:

    py-spy takes them for busy.
    """
    stacks: dict[Stack, int] = {}
    for line in raw.splitlines():
        frames, _, count = line.rpartition(" ")
        if not frames.rpartition(";")[2].startswith(WAITING):
            stacks[tuple(frames.split(";"))] = int(count)
    return stacks


def area_of(frame: str) -> str | None:
    """Whose code a frame is; None for what belongs to its caller (the standard library, say)."""
    for pattern, name in AREAS:
        found = pattern.search(frame)
        if found:
            return found.expand(name)
    return None


def areas(stacks: dict[Stack, int]) -> dict[str, float]:
    """Share of samples by whose code ran; C code without a frame of its own counts to the one who called it."""
    total = sum(stacks.values())
    by_area: Counter[str] = Counter()
    for stack, count in stacks.items():
        known = (area_of(frame) for frame in reversed(stack))
        by_area[next((area for area in known if area), "other")] += count
    return {area: count / total for area, count in by_area.most_common()}


def functions(stacks: dict[Stack, int]) -> list[tuple[str, float]]:
    """Share of samples by the innermost function."""
    total = sum(stacks.values())
    by_function: Counter[str] = Counter()
    for stack, count in stacks.items():
        by_function[re.sub(r":\d+\)", ")", stack[-1])] += count
    return [(function, count / total) for function, count in by_function.most_common(TOP)]


def inclusive(stacks: dict[Stack, int]) -> list[tuple[str, float]]:
    """Share of samples in which a function of ours was somewhere on the stack: what it costs with all it calls."""
    total = sum(stacks.values())
    by_function: Counter[str] = Counter()
    for stack, count in stacks.items():
        for function in {re.sub(r":\d+\)", ")", frame) for frame in stack if "gateway/" in frame}:
            by_function[function] += count
    return [(function, count / total) for function, count in by_function.most_common(2 * TOP)]


def text(stacks: dict[Stack, int]) -> str:
    """Three tables in Markdown."""
    by_area = [f"| {area} | {share:.1%} |" for area, share in areas(stacks).items()]
    by_function = [f"| {function} | {share:.1%} |" for function, share in functions(stacks)]
    by_ours = [f"| {function} | {share:.1%} |" for function, share in inclusive(stacks)]
    head = f"{sum(stacks.values())} samples\n\n| whose code | share |\n|---|---|"
    functions_head = "\n| innermost function | share |\n|---|---|"
    ours_head = "\n| function of ours, with all it calls | share |\n|---|---|"
    return "\n".join([head, *by_area, functions_head, *by_function, ours_head, *by_ours])

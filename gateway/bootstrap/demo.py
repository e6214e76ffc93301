"""`joulegate demo`: backends, gateway, chatbot traffic and a live table on this machine, all of it the real program.

The gateway is `joulegate serve` with a configuration file; keys are made as `joulegate keys create` makes them; the
table is read from /metrics. Only the backends and the people are simulated, and the backends' numbers are fictional.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import signal
import socket
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from random import Random

import aiohttp
from rich.console import Console
from rich.live import Live

from gateway.bootstrap.children import Child, start
from gateway.bootstrap.demo_scene import Scene, real_scene, simulated_scene
from gateway.bootstrap.demo_table import Figures, plain, read_figures, table
from gateway.bootstrap.demo_traffic import Team, Traffic
from gateway.bootstrap.keys import KeyWish, create_key
from gateway.domain.faults import JoulegateError

REFRESH_S = 1.0
PLAIN_EVERY = 2  # refreshes between two lines where there is no terminal
DRAIN_SECONDS = 5


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """seconds: end by itself; None: until Ctrl-C. Ports: 0 takes a free one, as does one that is taken."""

    seconds: float | None
    port: int
    admin_port: int
    real: bool = False


def demo(options: DemoOptions) -> int:
    """Run it; returns the exit code."""
    home = Path(tempfile.mkdtemp(prefix="joulegate-demo-"))
    try:
        return asyncio.run(_demo(options, home, Console()))
    finally:
        shutil.rmtree(home, ignore_errors=True)


async def _demo(options: DemoOptions, home: Path, console: Console) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    scene = real_scene() if options.real else simulated_scene()
    async with AsyncExitStack() as stack:
        console.print(f"starting {scene.what}", highlight=False, soft_wrap=True)
        backends = await _start_all(scene, home, stack)
        token = secrets.token_hex(16)
        config = scene.write(
            home,
            urls={child.name: f"http://127.0.0.1:{child.port()}/v1" for child in backends},
            port=free_port(options.port),
            admin_port=free_port(options.admin_port),
            token=token,
            drain_seconds=DRAIN_SECONDS,
        )
        gateway = await _start(stack, "gateway", ["gateway", "serve", "--config", str(config)], home)
        teams = await _teams(config, scene)
        console.print(directions(gateway, teams, token, config, scene.model), highlight=False, soft_wrap=True)
        await _talk(options, scene, gateway, teams, console, stop)
        console.print("ending: streams finish, books are closed", highlight=False, soft_wrap=True)
    return 0


async def _start_all(scene: Scene, home: Path, stack: AsyncExitStack) -> list[Child]:
    """Every backend at once: each is a process that takes a moment to load."""
    return await asyncio.gather(*(_start(stack, name, arguments, home) for name, arguments in scene.backends.items()))


async def _start(stack: AsyncExitStack, name: str, arguments: Sequence[str], home: Path) -> Child:
    child = await start(name, arguments, log=home / f"{name}.log", env=os.environ)
    stack.push_async_callback(child.stop)
    return child


async def _teams(config: Path, scene: Scene) -> list[Team]:
    """A key for each team, made as an operator would."""
    teams = []
    for name, people in scene.teams.items():
        made = await create_key(config, os.environ, KeyWish(team=name, name=f"{name}-chatbot"))
        teams.append(Team(name, str(made["key"]), people, scene.pause_s))
    return teams


async def _talk(
    options: DemoOptions, scene: Scene, gateway: Child, teams: list[Team], console: Console, stop: asyncio.Event
) -> None:
    """Traffic and the table, until stopped, out of time, or the gateway is gone."""
    traffic = Traffic(
        base_url=f"http://127.0.0.1:{gateway.port()}/v1",
        model=scene.model,
        teams=teams,
        random=Random(),  # noqa: S311  # who asks what, in a demo
        answer_tokens=scene.answer_tokens,
        classes=scene.classes,
    )
    if options.seconds is not None:
        asyncio.get_running_loop().call_later(options.seconds, stop.set)
    watch = asyncio.ensure_future(gateway.ended())
    watch.add_done_callback(lambda _: stop.set())
    talking = asyncio.create_task(traffic.run(stop))
    talking.add_done_callback(lambda _: stop.set())
    try:
        figures = await _show(f"http://127.0.0.1:{gateway.port('admin_port')}/metrics", console, stop)
        await talking
        if watch.done():
            raise JoulegateError("the gateway ended before the demo did")
        figures = await _scrape(f"http://127.0.0.1:{gateway.port('admin_port')}/metrics") or figures
        console.print(table(figures))
        console.print(summary(traffic, figures), highlight=False, soft_wrap=True)
    finally:
        talking.cancel()
        watch.cancel()


async def _show(url: str, console: Console, stop: asyncio.Event) -> Figures:
    """Refresh the table, or print lines where there is no terminal, until `stop`; returns the newest figures."""
    figures, turn = Figures(), 0
    with Live(table(figures), console=console, auto_refresh=False, transient=True) as live:
        while not stop.is_set():
            figures = await _scrape(url) or figures
            if console.is_terminal:
                live.update(table(figures), refresh=True)
            elif turn % PLAIN_EVERY == 0:
                print(plain(figures), flush=True)
            turn += 1
            try:
                await asyncio.wait_for(stop.wait(), REFRESH_S)
            except TimeoutError:
                continue
    return figures


async def _scrape(url: str) -> Figures | None:
    """Figures from one scrape; None if it fails, which the next one may not."""
    try:
        async with aiohttp.ClientSession() as http, http.get(url) as response:
            response.raise_for_status()
            return read_figures(await response.text())
    except (aiohttp.ClientError, TimeoutError):
        return None


def directions(gateway: Child, teams: Sequence[Team], token: str, config: Path, model: str) -> str:
    """How to join in: what to copy into another terminal."""
    base = f"http://127.0.0.1:{gateway.port()}/v1"
    page = f"http://127.0.0.1:{gateway.port('admin_port')}"
    return f"""
base_url     {base}
key          {teams[0].key}   (team {teams[0].name})
page         {page}/   admin token {token}
metrics      {page}/metrics
config       {config}

curl -i {base}/chat/completions \\
  -H 'authorization: Bearer {teams[0].key}' \\
  -d '{{"model": "{model}", "messages": [{{"role": "user", "content": "Hello"}}]}}'
"""


def summary(traffic: Traffic, figures: Figures) -> str:
    """The last line: what the people saw, next to what the gateway counted."""
    statuses = ", ".join(f"{count} x {status}" for status, count in sorted(traffic.tally.statuses.items()))
    broken = f", {traffic.tally.broken} broken" if traffic.tally.broken else ""
    return f"requests: {figures.requests} (answers: {statuses or 'none'}{broken}); rated ${figures.usd:.6f}"


def free_port(wanted: int) -> int:
    """The port if nobody listens there, else a free one."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            taken: int = probe.getsockname()[1]
            return taken
    raise JoulegateError("no free port on 127.0.0.1")

"""The workers of a supervised gateway: started together, restarted with a growing pause, asked over loopback."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

import aiohttp
from prometheus_client.core import Metric

from gateway.bootstrap.children import Child, ChildFailed, start
from gateway.bootstrap.merge import Remains, merge, read_families
from gateway.telemetry.logs import Log

PAUSE_S = 0.5
PAUSE_MOST_S = 30.0
STEADY_S = 60.0  # a worker that lived so long starts again without a pause
ASK_SECONDS_MAX = 2.0
REMEMBER_S = 2.0  # how old a dead worker's last figures may be


class Crew:
    """`count` workers on one data port."""

    def __init__(self, *, config: Path, port: int, count: int, token: str, log: Log) -> None:
        self._config = config
        self._port = port
        self._count = count
        self._headers = {"authorization": f"Bearer {token}"}
        self._log = log
        self._workers: dict[int, Child] = {}
        self._families: dict[int, list[Metric]] = {}
        self._remains = Remains()
        self._leaving = False
        self._keepers: list[asyncio.Task[None]] = []
        self._http: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Start all. Raises ChildFailed if one does not get ready: a wrong configuration is told at once."""
        self._http = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=ASK_SECONDS_MAX), headers=self._headers, trust_env=False
        )
        results = await asyncio.gather(*(self._spawn(number) for number in range(self._count)), return_exceptions=True)
        faults = [result for result in results if isinstance(result, BaseException)]
        if faults:
            await self.stop()
            raise faults[0]
        self._keepers = [asyncio.create_task(self._keep(number)) for number in range(self._count)]
        self._keepers.append(asyncio.create_task(self._remember()))

    @property
    def pids(self) -> list[int]:
        """Workers that run."""
        return [worker.pid for worker in self._workers.values()]

    def tell(self, number: signal.Signals) -> None:
        """Send a signal to every worker."""
        for worker in self._workers.values():
            worker.tell(number)

    async def stop(self) -> bool:
        """Tell all to drain and wait for them; True: each left with exit code 0."""
        self._leaving = True
        for keeper in self._keepers:
            keeper.cancel()
        self.tell(signal.SIGTERM)
        codes = await asyncio.gather(*(worker.ended() for worker in self._workers.values()))
        if self._http is not None:
            await self._http.close()
        return not any(codes)

    async def ask(self, path: str) -> Sequence[object]:
        """What each worker that answers says to a GET on its admin port, as JSON; whatever the status."""
        answers = await asyncio.gather(*(self._json(worker, path) for worker in tuple(self._workers.values())))
        return [answer for answer in answers if answer is not None]

    async def metrics(self) -> list[Metric]:
        """All workers' figures as one, what dead ones had counted included."""
        await self._scrape()
        return merge([self._remains.families(), *self._families.values()])

    async def _spawn(self, number: int) -> None:
        arguments = ["gateway.bootstrap.worker", "--config", str(self._config), "--port", str(self._port)]
        self._workers[number] = await start(f"worker {number}", arguments, log=None, env=os.environ)

    async def _keep(self, number: int) -> None:
        """Restart a worker whenever it ends, until the crew leaves."""
        loop, pause = asyncio.get_running_loop(), PAUSE_S
        began = loop.time()
        while not self._leaving:
            worker = self._workers.get(number)
            if worker is not None:
                code = await worker.ended()
                del self._workers[number]
                self._remains.add(self._families.pop(number, []))
                self._log.error("worker_ended", pid=worker.pid, status=code, seconds=pause)
                pause = PAUSE_S if loop.time() - began > STEADY_S else pause
            await asyncio.sleep(pause)
            pause = min(pause * 2, PAUSE_MOST_S)
            began = loop.time()
            try:
                await self._spawn(number)
            except ChildFailed as failed:
                self._log.error("worker_not_started", reason=str(failed), seconds=pause)

    async def _remember(self) -> None:
        """Look at the figures often, so that little is lost when a worker dies."""
        while True:
            await asyncio.sleep(REMEMBER_S)
            await self._scrape()

    async def _scrape(self) -> None:
        numbers = tuple(self._workers)
        texts = await asyncio.gather(*(self._text(self._workers[number], "/metrics") for number in numbers))
        for number, text in zip(numbers, texts, strict=True):
            if text is not None and number in self._workers:
                self._families[number] = read_families(text)

    async def _text(self, worker: Child, path: str) -> str | None:
        try:
            async with self._session().get(self._url(worker, path)) as answer:
                return await answer.text()
        except (aiohttp.ClientError, TimeoutError):
            return None

    async def _json(self, worker: Child, path: str) -> object:
        try:
            async with self._session().get(self._url(worker, path)) as answer:
                found: Mapping[str, object] = await answer.json()
                return found
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return None

    def _session(self) -> aiohttp.ClientSession:
        if self._http is None:
            raise RuntimeError("the crew was not started")
        return self._http

    @staticmethod
    def _url(worker: Child, path: str) -> str:
        return f"http://127.0.0.1:{worker.port('admin_port')}{path}"

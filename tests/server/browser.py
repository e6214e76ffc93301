"""A real headless Chromium, driven over its DevTools socket: enough to open a page, run a line of script and look."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--remote-debugging-port=0",
)


class Tab:
    """One tab. `problems` gathers what the page complained of: script errors, and what its policy forbade."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse):
        self._socket = socket
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self.problems: list[str] = []

    async def listen(self) -> None:
        async for message in self._socket:
            said = message.json()
            if "id" in said:
                self._waiting.pop(said["id"]).set_result(said)
            elif said["method"] == "Runtime.exceptionThrown":
                self.problems.append(said["params"]["exceptionDetails"]["text"])
            elif said["method"] == "Log.entryAdded":
                self.problems.append(said["params"]["entry"]["text"])

    async def tell(self, method: str, **params: object) -> Any:
        number = next(self._ids)
        waiting = self._waiting[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": params})
        async with asyncio.timeout(15):
            return (await waiting)["result"]

    async def script(self, expression: str) -> Any:
        """The value of a line of JavaScript."""
        answer = await self.tell("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        return answer["result"].get("value")

    async def until(self, expression: str, *, seconds: float = 10.0) -> None:
        """Wait until a line of JavaScript is true."""
        async with asyncio.timeout(seconds):
            while not await self.script(expression):
                await asyncio.sleep(0.05)

    async def picture(self, path: Path, *, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """A screenshot of the whole page."""
        await self.tell(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.tell("Emulation.setEmulatedMedia", features=[scheme])
        await asyncio.sleep(0.2)
        shot = await self.tell("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))


@asynccontextmanager
async def a_tab(url: str) -> AsyncIterator[Tab]:
    """Open `url` in a browser of its own; ended by pid."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium here; `apt-get install chromium` gets one")
    home = Path(tempfile.mkdtemp(prefix="joulegate-browser-"))
    browser = await asyncio.create_subprocess_exec(
        program,
        *QUIET,
        f"--user-data-dir={home}",
        "about:blank",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(30):
            while not (home / "DevToolsActivePort").exists():
                await asyncio.sleep(0.05)
        port = (home / "DevToolsActivePort").read_text().split("\n")[0]
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                [target, *_] = [tab for tab in await answer.json() if tab["type"] == "page"]
            async with session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                tab = Tab(socket)
                listening = asyncio.create_task(tab.listen())
                for domain in ("Page", "Runtime", "Log"):
                    await tab.tell(f"{domain}.enable")
                await tab.tell("Page.navigate", url=url)
                yield tab
                listening.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await listening
    finally:
        browser.kill()
        await browser.wait()
        shutil.rmtree(home, ignore_errors=True)

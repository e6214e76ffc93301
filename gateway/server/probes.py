"""What machines ask without a token: alive, ready, and how much."""

from __future__ import annotations

import asyncio

import orjson
from aiohttp import web

from gateway.server.offices import Offices, settled

CHECK_SECONDS_MAX = 2.0


class Probes:
    """Names of checks and their state; nothing of the configuration."""

    def __init__(self, offices: Offices, draining: asyncio.Event):
        self._offices = offices
        self._draining = draining

    async def metrics(self, request: web.Request) -> web.Response:
        """Prometheus, in the format it asks for."""
        body, content_type = await settled(self._offices.metrics(request.headers.get("accept", "")))
        return web.Response(body=body, headers={"content-type": content_type})

    async def live(self, request: web.Request) -> web.Response:
        """The loop turns; nothing more is asked, so that a store's trouble restarts nobody."""
        return web.Response(body=b'{"live":true}', content_type="application/json")

    async def ready(self, request: web.Request) -> web.Response:
        """Whether traffic should come here: 200 or 503, and which check says no."""
        try:
            checks = dict(await asyncio.wait_for(self._offices.checks(), CHECK_SECONDS_MAX))
        except TimeoutError:
            checks = {"answers_in_time": False}
        checks["not_draining"] = not self._draining.is_set()
        ready = all(checks.values())
        body = orjson.dumps({"ready": ready, "checks": checks})
        return web.Response(status=200 if ready else 503, body=body, content_type="application/json")

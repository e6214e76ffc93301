"""The simulated server's routes. It marks all that it says: a header, `system_fingerprint`, `owned_by`."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

import orjson
from aiohttp import web
from pydantic import ValidationError

from gateway.backends.simulated.books import Books
from gateway.backends.simulated.faults import FaultBox, Faults
from gateway.backends.simulated.generation import Generation
from gateway.backends.simulated.prefixes import Prefixes
from gateway.backends.simulated.settings import SimulatedSettings
from gateway.backends.simulated.speech import embedding, packed
from gateway.backends.simulated.station import Full, Station
from gateway.dialects import openai
from gateway.domain.call import CallKind, ModelCall
from gateway.domain.catalog import Limits
from gateway.domain.faults import InvalidRequest
from gateway.ports.clock import Clock
from gateway.ports.counter import Count, TokenCounter

MARK = "x-joulegate-simulated"
ENCODING = "o200k_base"
BACKLOG = 4_096  # the default of 100 loses connections in a burst


class SimulatedServer:
    """`start` it on a port, `stop` it. Counts tokens with the counter it is given."""

    def __init__(self, settings: SimulatedSettings, *, counter: TokenCounter, clock: Clock) -> None:
        self._settings = settings
        self._counter = counter
        self._clock = clock
        self.books = Books()
        self.faults = FaultBox(settings.seed)
        self._station = Station(settings, self.books, self.faults)
        self._prefixes = Prefixes(settings.prefixes_remembered)
        self._served = 0
        self._runner: web.AppRunner | None = None

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> int:
        """Listens; returns the port."""
        app = web.Application(client_max_size=Limits().body_bytes)
        app.add_routes(
            [
                web.post("/v1/chat/completions", self._chat),
                web.post("/v1/completions", self._complete),
                web.post("/v1/embeddings", self._embed),
                web.get("/v1/models", self._models),
                web.get("/health", self._health),
                web.get("/metrics", self._metrics),
            ]
        )
        if self._settings.controls:
            app.add_routes([web.get("/simulate", self._faults), web.post("/simulate", self._misbehave)])
        app.on_response_prepare.append(_say_simulated)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port, backlog=BACKLOG).start()
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Stops listening and ends what is in progress."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        return await self._generate(request, CallKind.CHAT)

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        return await self._generate(request, CallKind.COMPLETION)

    async def _generate(self, request: web.Request, kind: CallKind) -> web.StreamResponse:
        call = await self._call(request, kind)
        if isinstance(call, web.Response):
            return call
        failed = await self._fault()
        if failed is not None:
            return failed
        self._served += 1
        generation = Generation(
            call,
            number=self._served,
            created_s=self._clock.wall_ms() // 1_000,
            settings=self._settings,
            station=self._station,
            books=self.books,
            faults=self.faults.now,
            counts=await self._count_each([text.text for text in call.texts]),
            prefixes=self._prefixes,
            counter=self._counter,
        )
        try:
            async with self._station.slot():
                return await generation.answer(request)
        except ConnectionError:
            return web.Response()  # the client is gone, or we died on command: nobody reads this
        except Full:
            return self._refused(503, "all slots are taken and the queue is full", "overloaded")

    async def _embed(self, request: web.Request) -> web.StreamResponse:
        call = await self._call(request, CallKind.EMBEDDING)
        if isinstance(call, web.Response):
            return call
        failed = await self._fault()
        if failed is not None:
            return failed
        tokens = sum(await self._count_each([text.text for text in call.texts])) + call.token_ids
        given = call.body["input"]
        inputs = given if isinstance(given, list) and not isinstance(given[0], int) else [given]
        asked = call.body.get("dimensions")
        size = asked if isinstance(asked, int) and 1 <= asked <= 4_096 else self._settings.embedding_dimensions
        vectors = [embedding(str(text), size, self._settings.seed) for text in inputs]
        as_text = call.body.get("encoding_format") == "base64"
        self.books.requests_total += 1
        self.books.prompt_tokens_total += tokens
        return _json(
            {
                "object": "list",
                "model": call.model,
                "data": [
                    {"object": "embedding", "index": index, "embedding": packed(vector) if as_text else vector}
                    for index, vector in enumerate(vectors)
                ],
                "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
            }
        )

    async def _call(self, request: web.Request, kind: CallKind) -> ModelCall | web.Response:
        try:
            call = openai.parse(kind, await request.read(), Limits())
        except InvalidRequest as fault:
            return _error(fault.status, fault.message, "invalid_request_error", fault.param, fault.code)
        if self._settings.models and call.model not in self._settings.models:
            return _error(
                404, f"the model {call.model!r} does not exist", "not_found_error", "model", "model_not_found"
            )
        return call

    async def _fault(self) -> web.Response | None:
        await self.faults.past_hanging()
        if self.faults.fails():
            return self._refused(self.faults.now.status, "failed on command", "simulated_failure")
        return None

    def _refused(self, status: int, message: str, code: str) -> web.Response:
        self.books.requests_failed_total += 1
        refused = _error(status, message, "server_error", None, code)
        if status in (429, 503):
            refused.headers["retry-after"] = "1"
        return refused

    async def _count_each(self, texts: Sequence[str]) -> list[int]:
        counts = []
        for text in texts:
            count = self._counter.count((text,), ENCODING)
            counts.append(count.tokens if isinstance(count, Count) else (await count).tokens)
        return counts

    async def _models(self, _: web.Request) -> web.Response:
        names = self._settings.models or (self._settings.name,)
        models = [{"id": name, "object": "model", "created": 0, "owned_by": "joulegate-simulated"} for name in names]
        return _json({"object": "list", "data": models})

    async def _health(self, _: web.Request) -> web.Response:
        return _json({"status": "ok", "simulated": True})

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(
            text=self.books.text(), headers={"content-type": "text/plain; version=0.0.4; charset=utf-8"}
        )

    async def _faults(self, _: web.Request) -> web.Response:
        return _json(self.faults.now.model_dump(mode="json"))

    async def _misbehave(self, request: web.Request) -> web.Response:
        if not ipaddress.ip_address(request.remote or "0.0.0.0").is_loopback:  # noqa: S104 - an address to compare with
            return _error(403, "only from this machine", "permission_error", None, "not_loopback")
        try:
            faults = Faults.model_validate_json(await request.read())
        except ValidationError as fault:
            return _error(400, str(fault), "invalid_request_error", None, "invalid_faults")
        self.faults.set(faults)
        return await self._faults(request)


async def _say_simulated(_: web.Request, response: web.StreamResponse) -> None:
    response.headers[MARK] = "1"


def _json(value: object) -> web.Response:
    return web.Response(body=orjson.dumps(value), content_type="application/json")


def _error(status: int, message: str, type_: str, param: str | None, code: str) -> web.Response:
    body = openai.error_body(message, type_, param, code)
    return web.Response(status=status, body=body, content_type="application/json")

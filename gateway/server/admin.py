"""The admin port: probes and metrics for machines, and for operators with the token everything else.

A port of its own, on loopback by default, that refuses to start without a token. It changes keys and reloads rules;
the data port changes nothing. Every change leaves a line in the audit trail.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from gateway.domain.faults import InvalidRequest, LedgerUnavailable
from gateway.domain.refusal import Refusal, RefusalCode
from gateway.server.admin_calls import AdminCalls
from gateway.server.data import bound_address
from gateway.server.errors import refusal_of, render
from gateway.server.offices import Offices
from gateway.server.openapi import document
from gateway.server.overview import History
from gateway.server.page import read_page
from gateway.server.probes import Probes

TOKEN_BYTES_MIN: Final = 16
BODY_BYTES_MAX: Final = 64 * 1024
OPEN_PATHS: Final = frozenset({"/metrics", "/livez", "/readyz", "/healthz", "/"})
LOG = logging.getLogger("joulegate.admin")
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class AdminServer:
    """Serves operators on one socket."""

    def __init__(self, *, token: str, offices: Offices, draining: asyncio.Event):
        """`token`: what operators send as bearer. Raises ValueError for none, or one that can be guessed."""
        if len(token.encode()) < TOKEN_BYTES_MIN:
            raise ValueError(
                f"the admin port needs a token of {TOKEN_BYTES_MIN} bytes or more; it does not start without"
            )
        self._token_digest = hashlib.sha256(token.encode()).digest()
        self._history = History(offices.overview)
        self._calls = AdminCalls(offices, self._history)
        self._probes = Probes(offices, draining)
        self._page = read_page()
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None
        self._sampler: asyncio.Task[None] | None = None

    async def start(
        self, host: str | None = None, port: int = 0, *, sock: socket.socket | None = None
    ) -> tuple[str, int] | str:
        """Listen; returns where."""
        application = web.Application(middlewares=[self._guard], client_max_size=BODY_BYTES_MAX)
        application.on_response_prepare.append(_unsigned)
        application.add_routes(self.routes())
        silent = logging.Logger("joulegate.admin.http")  # aiohttp's would quote what a malformed request held
        silent.disabled = True
        runner = web.AppRunner(application, access_log=None, keepalive_timeout=75.0, logger=silent)
        await runner.setup()
        if runner.server is None:
            raise RuntimeError("aiohttp made no server for the admin port")
        loop = asyncio.get_running_loop()
        self._runner = runner
        if sock is not None:
            self._server = await loop.create_server(runner.server, sock=sock)
        else:
            self._server = await loop.create_server(runner.server, host, port)
        self._sampler = asyncio.create_task(self._history.run())
        return bound_address(self._server)

    async def close(self) -> None:
        """Stop at once."""
        if self._sampler is not None:
            self._sampler.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sampler
        if self._server is not None:
            self._server.close()
        if self._runner is not None:
            await self._runner.cleanup()

    def routes(self) -> list[web.RouteDef]:
        """Every route, exactly; OpenAPI describes the same."""
        calls, probes, root = self._calls, self._probes, "/admin/v1"
        return [
            web.get("/", self._show_page),
            web.get("/metrics", probes.metrics),
            web.get("/livez", probes.live),
            web.get("/healthz", probes.live),
            web.get("/readyz", probes.ready),
            web.get(f"{root}/openapi.json", self._openapi),
            web.get(f"{root}/overview", calls.overview),
            web.get(f"{root}/keys", calls.list_keys),
            web.post(f"{root}/keys", calls.create_key),
            web.delete(f"{root}/keys/{{id}}", calls.revoke_key),
            web.get(f"{root}/teams", calls.teams),
            web.get(f"{root}/budgets", calls.budgets),
            web.get(f"{root}/usage", calls.usage),
            web.get(f"{root}/backends", calls.backends),
            web.get(f"{root}/policies", calls.policies),
            web.post(f"{root}/policies/reload", calls.reload),
            web.get(f"{root}/decisions/{{id}}", calls.decision),
        ]

    @web.middleware
    async def _guard(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """The token before anything else, also before saying what exists; then errors in our shape."""
        if request.path not in OPEN_PATHS and not self._is_operator(request):
            return refused(Refusal(RefusalCode.INVALID_API_KEY, "Send the admin token as `Authorization: Bearer`."))
        try:
            return await handler(request)
        except InvalidRequest as fault:
            return refused(refusal_of(fault))
        except LedgerUnavailable:
            return refused(Refusal(RefusalCode.LEDGER_UNAVAILABLE, "The ledger does not answer.", retry_after_s=1))
        except web.HTTPMethodNotAllowed:
            return refused(Refusal(RefusalCode.METHOD_NOT_ALLOWED, "Not with that method."))
        except web.HTTPRequestEntityTooLarge:
            return refused(Refusal(RefusalCode.REQUEST_TOO_LARGE, f"More than {BODY_BYTES_MAX} bytes."))
        except web.HTTPException:
            return refused(Refusal(RefusalCode.NOT_FOUND, "There is nothing at this path."))
        except Exception:
            LOG.exception("an admin call failed for a reason nobody foresaw")
            return refused(Refusal(RefusalCode.INTERNAL_ERROR, "Something broke here; it was logged."))

    def _is_operator(self, request: web.Request) -> bool:
        """Compares digests: equal in length whatever was sent, and bytes, so that no header can make it raise."""
        scheme, _, presented = request.headers.get("authorization", "").partition(" ")
        digest = hashlib.sha256(presented.strip().encode("utf-8", "surrogateescape")).digest()
        return scheme.lower() == "bearer" and hmac.compare_digest(digest, self._token_digest)

    async def _show_page(self, request: web.Request) -> web.Response:
        return web.Response(text=self._page.html, content_type="text/html", headers=self._page.headers)

    async def _openapi(self, request: web.Request) -> web.Response:
        return web.json_response(document())


def refused(refusal: Refusal) -> web.Response:
    """A refusal as an aiohttp response."""
    status, headers, body = render(refusal)
    return web.Response(status=status, headers=dict(headers), body=body, content_type="application/json")


async def _unsigned(request: web.Request, response: web.StreamResponse) -> None:
    """Say nothing of what we are built with: aiohttp would name itself and its Python."""
    response.headers.popall("Server", None)

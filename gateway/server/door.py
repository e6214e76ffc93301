"""The door of the data port: one request, from its headers to the pipeline or to a refusal.

    guards and headers -> key -> places left -> Incoming -> pipeline.serve(incoming, reply)

Paths are looked up in a table, never matched; only the two reads that name a thing take a prefix. A request without
a valid key leaves a count and no record; each model call with one leaves exactly one record, whoever refuses it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from aiohttp import web

from gateway.domain.call import Caller, CallKind
from gateway.domain.faults import InvalidRequest, LedgerUnavailable
from gateway.domain.record import Outcome, UsageRecord
from gateway.domain.refusal import Refusal, RefusalCode
from gateway.domain.tenancy import Identity
from gateway.pipeline.incoming import Incoming
from gateway.ports.clock import Clock
from gateway.ports.identities import Identities
from gateway.ports.policies import Policies
from gateway.ports.recorder import Recorder
from gateway.ports.reply import ClientGone, Reply
from gateway.ports.signals import Signals
from gateway.server.body import BodyReader
from gateway.server.errors import refusal_of, render
from gateway.server.guards import check_framing, check_host
from gateway.server.head import Heads
from gateway.server.headers import caller_of, client_request_id, collect, credential
from gateway.server.reads import Reads
from gateway.server.reply import AiohttpReply

CALLS: Final = {
    "/v1/chat/completions": CallKind.CHAT,
    "/v1/completions": CallKind.COMPLETION,
    "/v1/embeddings": CallKind.EMBEDDING,
}
MODELS, MODEL, KEY, USAGE = "/v1/models", "/v1/models/", "/v1/key", "/v1/usage/"
JSON: Final = (("content-type", "application/json"),)
NO_KEY: Final = Refusal(
    RefusalCode.INVALID_API_KEY, "Send your key as `Authorization: Bearer KEY` or `x-api-key: KEY`."
)
BAD_KEY: Final = Refusal(RefusalCode.INVALID_API_KEY, "This key is unknown, disabled or expired.")
KEYS_AWAY: Final = Refusal(
    RefusalCode.LEDGER_UNAVAILABLE, "Keys can not be checked at the moment; please retry.", retry_after_s=1
)
SHUTTING_DOWN: Final = Refusal(RefusalCode.OVERLOADED, "This gateway is shutting down; please retry.", retry_after_s=1)
NOTHING_HERE: Final = Refusal(RefusalCode.NOT_FOUND, "There is nothing at this path.")
LOG = logging.getLogger("joulegate.server")


class Serves(Protocol):
    """The pipeline, as the door needs it."""

    async def serve(self, incoming: Incoming, reply: Reply) -> None:
        """Answer one request; raises CancelledError when the caller has left."""
        ...


class Door:
    """Answers requests. `open`: the replies under way; `quiet`: set when draining and the last of them has ended."""

    def __init__(
        self,
        *,
        pipeline: Serves,
        reads: Reads,
        identities: Identities,
        policies: Policies,
        signals: Signals,
        recorder: Recorder,
        clock: Clock,
        heads: Heads,
        new_id: Callable[[], str],
        draining: asyncio.Event,
        hosts: frozenset[str],
        gateway: str,
    ):
        self._pipeline = pipeline
        self._reads = reads
        self._identities = identities
        self._policies = policies
        self._signals = signals
        self._recorder = recorder
        self._clock = clock
        self._heads = heads
        self._new_id = new_id
        self._draining = draining
        self._hosts = hosts
        self._gateway = gateway
        self.open: set[AiohttpReply] = set()
        self.quiet = asyncio.Event()

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """aiohttp's handler: one request, whatever it is. Only CancelledError leaves it."""
        own_id = self._new_id()
        reply = AiohttpReply(request, self._heads, own_id, self._signals, keep=not self._draining.is_set())
        exchange = Exchange(request, reply, own_id, self._clock.monotonic(), self._clock.wall_ms())
        self.open.add(reply)
        try:
            await self._route(exchange)
        except InvalidRequest as fault:
            self._signals.refused("framing")
            reply.close_after()
            await self._turn_away(reply, refusal_of(fault))
        except ClientGone:
            pass
        except Exception:
            LOG.exception("a request failed for a reason nobody foresaw", extra={"request_id": own_id})
            reply.close_after()
            await self._turn_away(reply, Refusal(RefusalCode.INTERNAL_ERROR, "Something broke here; it was logged."))
        finally:
            self.open.discard(reply)
            reply.closed()
            if not self.open and self._draining.is_set():
                self.quiet.set()
        return reply.outcome

    async def _route(self, exchange: Exchange) -> None:
        request, reply = exchange.request, exchange.reply
        exchange.found = found = collect(request.raw_headers)
        check_framing(request.version, request.method, request.raw_path, found)
        check_host(found.get(b"host"), request.version, self._hosts)
        reply.request_id = client_request_id(found) or reply.request_id
        path = request.raw_path.partition("?")[0]
        method = method_of(path)
        if request.method != method:
            await self._not_here(reply, path, method)
            return
        identity = await self._identity(reply, credential(found))
        if identity is None:
            return
        if method == "POST":
            await self._call(exchange, identity, CALLS[path])
        else:
            await self._look_up(reply, identity, path)

    async def _identity(self, reply: AiohttpReply, key: bytes | None) -> Identity | None:
        """Who asks; None after a 401, or after a 503 where the store that knows is away."""
        if key is None:
            self._signals.refused("no_key")
            await self._turn_away(reply, NO_KEY)
            return None
        try:
            found = self._identities.find(key)
            identity = found if found is None or isinstance(found, Identity) else await found
        except LedgerUnavailable:
            self._signals.refused("ledger_unavailable")
            await self._turn_away(reply, KEYS_AWAY)
            return None
        if identity is None:
            self._signals.refused("bad_key")
            await self._turn_away(reply, BAD_KEY)
        return identity

    async def _call(self, exchange: Exchange, identity: Identity, kind: CallKind) -> None:
        """A model call with a valid key: from here on there is a record, written by the pipeline or by us."""
        limits = self._policies.current().limits
        refusal = self._no_place(limits.concurrent_requests)
        if refusal is not None:
            await self._refuse_with_record(exchange, identity, kind, refusal)
            return
        read_body = BodyReader(exchange.request, exchange.found, limits.body_bytes, exchange.reply.close_after).read
        try:
            caller = caller_of(exchange.found, exchange.request_id)
        except InvalidRequest as fault:
            caller, read_body = Caller(exchange.request_id), Faulty(fault).read
        incoming = Incoming(kind, identity, caller, exchange.accepted, exchange.accepted_wall_ms, read_body)
        await self._pipeline.serve(incoming, exchange.reply)

    def _no_place(self, concurrent_max: int) -> Refusal | None:
        if self._draining.is_set():
            return SHUTTING_DOWN
        if len(self.open) > concurrent_max:
            message = f"{concurrent_max} requests are running (limit concurrent_requests); please retry."
            return Refusal(RefusalCode.OVERLOADED, message, retry_after_s=1)
        return None

    async def _refuse_with_record(
        self, exchange: Exchange, identity: Identity, kind: CallKind, refusal: Refusal
    ) -> None:
        """No place: refused before anything expensive, and still one record (law 1)."""
        record = UsageRecord(
            request_id=exchange.request_id,
            started_wall_ms=exchange.accepted_wall_ms,
            kind=kind.value,
            key_id=identity.key_id,
            team=identity.team,
            org=identity.org,
            project=identity.project,
            gateway=self._gateway,
            policy_version=self._policies.current().version,
            client_request_id=client_request_id(exchange.found),
            outcome=Outcome.UNAVAILABLE,
            error_code=refusal.code.value,
            status=render(refusal)[0],
        )
        self._recorder.record(record)
        self._signals.ended(record)
        exchange.reply.close_after()
        await self._turn_away(exchange.reply, refusal)

    async def _look_up(self, reply: AiohttpReply, identity: Identity, path: str) -> None:
        if path == MODELS:
            answer = await self._reads.models(identity)
        elif path == KEY:
            answer = await self._reads.key(identity)
        elif path.startswith(USAGE):
            answer = await self._reads.usage(identity, path.removeprefix(USAGE))
        else:
            answer = await self._reads.model(identity, path.removeprefix(MODEL))
        if isinstance(answer, Refusal):
            await self._turn_away(reply, answer)
        else:
            await reply.send(200, JSON, answer)

    async def _not_here(self, reply: AiohttpReply, path: str, method: str | None) -> None:
        """No such path, or not with that method."""
        self._signals.refused("not_found")
        if method is None:
            await self._turn_away(reply, NOTHING_HERE)
            return
        message = f"This path answers {method} only."
        await self._turn_away(reply, Refusal(RefusalCode.METHOD_NOT_ALLOWED, message), (("allow", method),))

    async def _turn_away(
        self, reply: AiohttpReply, refusal: Refusal, headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        if not reply.started:
            with contextlib.suppress(ClientGone):
                await reply.refuse(refusal, headers)


@dataclass(slots=True)
class Exchange:
    """One request on its way through the door. `request_id` is always our own; the reply may echo the caller's."""

    request: web.BaseRequest
    reply: AiohttpReply
    request_id: str
    accepted: float
    accepted_wall_ms: int
    found: dict[bytes, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Faulty:
    """Stands for the body of a request whose headers are at fault: the pipeline refuses it, and keeps the record."""

    fault: InvalidRequest

    async def read(self) -> bytes:
        """Raise the fault."""
        raise self.fault


def method_of(path: str) -> str | None:
    """The one method a path answers, None for a path that is not ours."""
    if path in CALLS:
        return "POST"
    if path in (MODELS, KEY):
        return "GET"
    if path.startswith((MODEL, USAGE)):  # the rest is compared with names we know, and never becomes a path or a URL
        return "GET"
    return None

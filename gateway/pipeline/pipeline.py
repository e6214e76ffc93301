"""The way of one request. Every `if` about the flow stands here; what to do in each case stands in the leaves.

    open -> read -> parse -> quote -> route -> [reserve -> send -> relay -> close]* -> record

Attempts repeat while no byte of an answer has gone to the client and attempts, deadline and budget allow it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.dialects import openai
from gateway.domain.amounts import Unit
from gateway.domain.catalog import SlaClass, Snapshot
from gateway.domain.faults import InvalidRequest
from gateway.domain.record import AttemptResult, Outcome
from gateway.domain.refusal import Refusal, RefusalCode
from gateway.domain.route import RouteAsk
from gateway.pipeline.aftercare import Aftercare
from gateway.pipeline.asking import limits_unit
from gateway.pipeline.attempts import Attempts
from gateway.pipeline.incoming import Incoming
from gateway.pipeline.quoting import Quoter
from gateway.pipeline.recording import open_record, total_up
from gateway.pipeline.refusing import OUTCOME_OF, refusal_of_fault
from gateway.pipeline.walk import Walk
from gateway.policy.claims import Claims
from gateway.ports import ClientGone, Clock, Ledger, Policies, Recorder, Reply, Signals


class Pipeline:
    """Serves requests. Shares nothing between them but what router, books and estimators learn."""

    def __init__(
        self,
        *,
        clock: Clock,
        policies: Policies,
        ledger: Ledger,
        recorder: Recorder,
        signals: Signals,
        quoter: Quoter,
        attempts: Attempts,
        aftercare: Aftercare,
        claims: Callable[[Snapshot], Claims],
        gateway: str,
    ) -> None:
        self._clock = clock
        self._policies = policies
        self._ledger = ledger
        self._recorder = recorder
        self._signals = signals
        self._quoter = quoter
        self._attempts = attempts
        self._aftercare = aftercare
        self._claims = claims
        self._gateway = gateway

    async def serve(self, incoming: Incoming, reply: Reply) -> None:
        """Answer one request and see to its books. Raises nothing but CancelledError, when the client has left."""
        snapshot = self._policies.current()
        record = open_record(incoming, snapshot, self._gateway)
        walk = Walk(incoming, reply, snapshot, record, self._claims(snapshot).root(incoming.identity))
        try:
            refusal = await self._walk(walk)
            if refusal is not None:
                await self._refuse(walk, refusal)
        except ClientGone:
            self._client_left(walk)
        except asyncio.CancelledError:
            self._client_left(walk)
            raise
        except Exception:  # a fault of ours: the record must still say how the request ended
            walk.end(Outcome.INTERNAL, 500)
            raise
        finally:
            record.duration_ms = walk.since_accepted_ms(self._clock.monotonic())
            self._aftercare.spawn(self._record(walk))

    async def _walk(self, walk: Walk) -> Refusal | None:
        """Everything up to the attempts: may we, what is asked, what would it cost, where could it go."""
        if not self._recorder.healthy():
            return Refusal(RefusalCode.LEDGER_UNAVAILABLE, "Usage records can not be written.", retry_after_s=5)
        refusal = await self._parse(walk)
        if refusal is not None:
            return refusal
        quotes = await self._quoter.quotes(
            walk.call, walk.snapshot.models[walk.call.model], walk.incoming.identity.key_id
        )
        counters = walk.counters = self._claims(walk.snapshot).counters(
            walk.incoming.identity, walk.call.model, walk.incoming.caller.session, self._ledger.now_ms()
        )
        caller, accepted = walk.incoming.caller, walk.incoming.accepted
        walk.ask = RouteAsk(
            model=walk.snapshot.models[walk.call.model],
            sla=walk.snapshot.classes[walk.record.sla_class],
            quotes=quotes,
            needs=walk.call.needs | {walk.call.kind.value},
            stream=walk.call.stream,
            backends=walk.snapshot.backends,
            accepted=accepted,
            deadline=None if caller.deadline_ms is None else accepted + caller.deadline_ms / 1_000,
            session=caller.session,
            energy_required=limits_unit(counters, Unit.ENERGY_MJ),
            carbon_required=limits_unit(counters, Unit.CARBON_UG),
        )
        return await self._attempts.run(walk)

    async def _parse(self, walk: Walk) -> Refusal | None:
        try:
            body = await walk.incoming.read_body()
            walk.record.body_bytes = len(body)
            call = openai.parse(walk.incoming.kind, body, walk.snapshot.limits)
        except InvalidRequest as fault:
            return refusal_of_fault(fault)
        walk.call = call
        walk.record.model = call.model if call.model in walk.snapshot.models else "unknown"
        walk.record.stream = call.stream
        return self._may(walk, call.model)

    def _may(self, walk: Walk, model: str) -> Refusal | None:
        """Whether this key may ask for this model, in this class."""
        identity, snapshot = walk.incoming.identity, walk.snapshot
        served = snapshot.models.get(model)
        if served is None:
            known = ", ".join(
                sorted(name for name in snapshot.models if not identity.models or name in identity.models)
            )
            message = f"The model '{model}' does not exist. Served here: {known or 'none for this key'}."
            return Refusal(RefusalCode.MODEL_NOT_FOUND, message, param="model")
        if identity.models and model not in identity.models:
            return Refusal(RefusalCode.MODEL_NOT_ALLOWED, f"This key may not use the model '{model}'.", param="model")
        sla = sla_class_of(snapshot, served.sla_class or snapshot.default_class, walk.incoming)
        if isinstance(sla, Refusal):
            return sla
        walk.record.sla_class = sla.name
        return None

    def _client_left(self, walk: Walk) -> None:
        """The caller has gone, or we hung up on it: what was streamed is charged, and the record says so."""
        last = walk.last_attempt
        if last is not None and last.result is AttemptResult.SERVED:
            return  # it left after the last byte
        if walk.reply.cut_short:
            walk.record.error_code = RefusalCode.OVERLOADED
            walk.end(*((Outcome.INCOMPLETE, 200) if walk.reply.started else (Outcome.UNAVAILABLE, 503)))
            return
        walk.end(Outcome.CLIENT_LEFT, 499)

    async def _refuse(self, walk: Walk, refusal: Refusal) -> None:
        record = walk.record
        record.error_code = refusal.detail_code or refusal.code
        record.error_param = refusal.param
        record.outcome = OUTCOME_OF[refusal.code]
        headers = list(refusal.headers)
        if record.attempts:
            headers.append(("x-joulegate-attempts", str(len(record.attempts))))
        record.status = await walk.reply.refuse(refusal, headers)

    async def _record(self, walk: Walk) -> None:
        """One record per request, written when all of its attempts are closed."""
        try:
            await self._attempts.close(walk)
        finally:
            self._write(walk)

    def _write(self, walk: Walk) -> None:
        total_up(walk)
        self._recorder.record(walk.record)
        self._signals.ended(walk.record)


def sla_class_of(snapshot: Snapshot, name: str, incoming: Incoming) -> SlaClass | Refusal:
    """The served model's class, or a looser one that the header asks for and the key may use."""
    asked = incoming.caller.sla_class
    own = snapshot.classes[name]
    if asked is None or asked == name:
        return own
    allowed = incoming.identity.classes
    wanted = snapshot.classes.get(asked)
    if wanted is None or (allowed and asked not in allowed):
        known = ", ".join(sorted(c for c in snapshot.classes if not allowed or c in allowed))
        message = f"x-joulegate-class: '{asked}' is no class this key may ask for. Known: {known}."
        return Refusal(RefusalCode.INVALID_REQUEST, message, param="x-joulegate-class", detail_code="unknown_class")
    return wanted if wanted.rank >= own.rank else own

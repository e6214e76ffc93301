"""From an upstream's answer to the caller: whole answers are buffered and priced, streams pass as they come."""

from __future__ import annotations

import asyncio

from gateway.dialects import openai
from gateway.domain.bill import Bill
from gateway.domain.catalog import Member
from gateway.domain.faults import BackendFailed, FailureKind
from gateway.domain.record import AttemptResult, Outcome
from gateway.domain.usage import Basis, TokenUsage
from gateway.metering.estimate import InputEstimator
from gateway.metering.pricing import rated
from gateway.pipeline.aftercare import Aftercare
from gateway.pipeline.closing import sane
from gateway.pipeline.headers import Headers, cost_headers, estimate_headers, limit_headers
from gateway.pipeline.quoting import estimated
from gateway.pipeline.walk import Attempt, Walk
from gateway.policy.router import Router
from gateway.ports import Answer, Clock, Count, Ledger

PASSED_DOWN = ("content-type", "retry-after")


class Relay:
    """Carries answers. Raises BackendFailed while another candidate may be tried, ClientGone when the caller left."""

    def __init__(
        self, *, clock: Clock, ledger: Ledger, router: Router, estimator: InputEstimator, aftercare: Aftercare
    ) -> None:
        self._aftercare = aftercare
        self._router = router
        self._clock = clock
        self._ledger = ledger
        self._estimator = estimator

    async def whole(self, walk: Walk, attempt: Attempt, answer: Answer) -> None:
        """A JSON answer: read whole, priced, then sent. Until then it may be asked of another candidate."""
        call, member = walk.call, attempt.choice.quote.member
        raw = await self._body(walk, attempt, answer)
        now = self._clock.monotonic()
        attempt.last_token = now  # when its first token was there, nobody saw
        facts = openai.read_answer(call.kind, raw)
        attempt.complete = True
        attempt.result = AttemptResult.SERVED
        attempt.usage = sane(facts.usage, call, attempt.choice.quote.output_tokens_max)
        if attempt.usage is None:
            attempt.output_texts = facts.output_texts
            attempt.usage = await self._count(attempt, member)
        attempt.rated = rated(member.rates, attempt.usage)
        bill = attempt.bill = walk.bill(member, attempt.rated, attempt.hold)
        in_headers_only = walk.incoming.caller.usage_in_headers_only
        body = raw if in_headers_only else openai.price_answer(facts, attempt.usage, bill)
        headers = self._headers(walk, attempt, answer, now) + cost_headers(bill)
        walk.end(Outcome.SERVED, 200)
        await walk.reply.send(200, headers, body)

    async def _body(self, walk: Walk, attempt: Attempt, answer: Answer) -> bytes:
        """The whole body; of a backend that is drained it is read on even when the caller leaves."""
        reading = answer.body(walk.snapshot.limits.answer_bytes)
        if walk.snapshot.backends[attempt.record.backend].on_disconnect != "drain":
            return await reading
        attempt.body_task = self._aftercare.spawn(reading)
        return await asyncio.shield(attempt.body_task)

    async def stream(self, walk: Walk, attempt: Attempt, answer: Answer) -> None:
        """Server-sent events: begun with the first bytes, each chunk passed on before the next is read."""
        call, member = walk.call, attempt.choice.quote.member
        reader = attempt.reader = openai.StreamReader(
            call.kind,
            wants_usage=call.wants_usage,
            bill=lambda usage: self._stream_bill(walk, attempt, member, usage),
            keep_bytes=walk.snapshot.limits.counted_bytes,
            comment=walk.incoming.identity.usage_comment,
        )
        reply, monotonic = walk.reply, self._clock.monotonic
        async for chunk in answer.chunks():
            passed = reader.feed(chunk)
            attempt.last_token = monotonic()
            if attempt.first_token is None and reader.first_token:
                attempt.first_token = attempt.last_token
                self._router.on_first_token(attempt.ticket, attempt.last_token)
            if passed:
                if not reply.started:
                    await self._begin(walk, attempt, answer)
                await reply.write(passed)
        await self._finish(walk, attempt, answer, reader)

    async def _finish(self, walk: Walk, attempt: Attempt, answer: Answer, reader: openai.StreamReader) -> None:
        tail = reader.finish()
        attempt.usage = sane(reader.usage, walk.call, attempt.choice.quote.output_tokens_max)
        attempt.complete = reader.complete or reader.failed or attempt.usage is not None
        if not walk.reply.started:
            if not attempt.complete and not tail:
                raise BackendFailed(FailureKind.PROTOCOL, "the stream ended before its first event", sent=True)
            await self._begin(walk, attempt, answer)
        if not attempt.complete:
            raise BackendFailed(FailureKind.PROTOCOL, "the stream ended without its terminator", sent=True)
        if reader.failed:  # an error event passed: it went down as it came, and what was said is charged
            attempt.failure, attempt.result = FailureKind.SERVER, AttemptResult.BROKEN
            walk.end(Outcome.INCOMPLETE, 200)
        else:
            attempt.result = AttemptResult.SERVED
            walk.end(Outcome.SERVED, 200)
        if tail:
            await walk.reply.write(tail)
        await walk.reply.end()

    def left(self, walk: Walk, attempt: Attempt) -> None:
        """The caller has gone. One that hangs up on `[DONE]` was served; usage that came by then is the truth."""
        if attempt.result in (AttemptResult.SERVED, AttemptResult.REJECTED_UNBILLED):
            return
        attempt.result = AttemptResult.CANCELLED
        if (reader := attempt.reader) is None:
            return
        attempt.usage = sane(reader.usage, walk.call, attempt.choice.quote.output_tokens_max)
        if reader.complete and not reader.failed:
            attempt.complete = True
            attempt.result = AttemptResult.SERVED
            walk.end(Outcome.SERVED, 200)

    async def rejected(self, walk: Walk, attempt: Attempt, answer: Answer, body: bytes) -> None:
        """The upstream's 4xx that the caller caused: passed verbatim, and said to be the upstream's."""
        attempt.result = AttemptResult.REJECTED_UNBILLED
        headers = self._headers(walk, attempt, answer, self._clock.monotonic())
        headers.append(("x-joulegate-error-source", "upstream"))
        walk.end(Outcome.UPSTREAM_REJECTED, answer.status)
        await walk.reply.send(answer.status, headers, body)

    async def _begin(self, walk: Walk, attempt: Attempt, answer: Answer) -> None:
        quote = attempt.choice.quote
        bill = walk.bill(quote.member, estimated(quote), attempt.hold)
        headers = self._headers(walk, attempt, answer, self._clock.monotonic()) + estimate_headers(bill)
        await walk.reply.begin(200, headers)

    def _headers(self, walk: Walk, attempt: Attempt, answer: Answer, arrived: float) -> Headers:
        headers = [(name, answer.headers[name]) for name in PASSED_DOWN if name in answer.headers]
        headers.append(("x-joulegate-attempts", str(attempt.hold.attempt)))
        ours = self._clock.monotonic() - arrived + attempt.started - walk.incoming.accepted
        headers.append(("x-joulegate-overhead-ms", f"{ours * 1_000:.2f}"))
        headers += limit_headers(walk.incoming.identity, attempt.hold.balances, self._ledger.now_ms())
        return headers

    def _stream_bill(self, walk: Walk, attempt: Attempt, member: Member, usage: TokenUsage) -> Bill | None:
        """Called once by the reader, when the usage event is here."""
        if sane(usage, walk.call, attempt.choice.quote.output_tokens_max) is None:
            return None
        if walk.incoming.caller.usage_in_headers_only:
            return None
        return walk.bill(member, rated(member.rates, usage), attempt.hold)

    async def _count(self, attempt: Attempt, member: Member) -> TokenUsage:
        count = self._estimator.count_output(attempt.output_texts, member.encoding, member.name)
        if not isinstance(count, Count):
            count = await count
        return TokenUsage(
            input_tokens=attempt.choice.quote.input_tokens, output_tokens=count.tokens, basis=Basis.COUNTED
        )

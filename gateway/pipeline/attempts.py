"""Attempt after attempt: reserve, send, relay, close; until one answers or nothing may be tried any more."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace

from gateway.dialects import openai
from gateway.domain.budgets import Ask, Denial, Hold, Stale
from gateway.domain.catalog import Snapshot, Timeouts
from gateway.domain.faults import BackendFailed, FailureKind, LedgerUnavailable
from gateway.domain.record import AttemptRecord, AttemptResult, Outcome
from gateway.domain.refusal import Refusal, RefusalCode
from gateway.domain.route import Choice, Reason, Reject, Route
from gateway.pipeline.aftercare import Aftercare
from gateway.pipeline.asking import ask_of
from gateway.pipeline.books import Books
from gateway.pipeline.closing import Closer
from gateway.pipeline.draining import Drainer
from gateway.pipeline.refusing import refusal_of_denial, refusal_of_reject
from gateway.pipeline.relay import Relay
from gateway.pipeline.walk import Attempt, Walk, failure_of, refusal_for
from gateway.policy.claims import Claims
from gateway.policy.fleet import Ticket
from gateway.policy.router import Router
from gateway.ports import Answer, ClientGone, Clock, Ledger, Upstreams

ERROR_BODY_BYTES = 1_048_576  # an upstream's error longer than this is a failure of that upstream
RETRY_AFTER_MAX_S = 3_600.0
DEADLINE_SLACK_S = 0.01  # timers are set in whole milliseconds and may fire a little early


class Attempts:
    """Runs the attempts of one request at a time. Each has its own hold, and ends it once."""

    def __init__(
        self,
        *,
        clock: Clock,
        ledger: Ledger,
        upstreams: Upstreams,
        router: Router,
        relay: Relay,
        closer: Closer,
        books: Books,
        aftercare: Aftercare,
        drainer: Drainer,
        claims: Callable[[Snapshot], Claims],
    ) -> None:
        self._clock = clock
        self._ledger = ledger
        self._upstreams = upstreams
        self._router = router
        self._relay = relay
        self._closer = closer
        self._books = books
        self._aftercare = aftercare
        self._drainer = drainer
        self._claims = claims

    async def run(self, walk: Walk) -> Refusal | None:
        """One attempt after another, until one answers or nothing may be tried any more."""
        failed: Attempt | None = None
        for number in range(1, walk.snapshot.attempts + 1):
            route = self._router.choose(walk.ask, self._clock.monotonic())
            if isinstance(route, Reject):
                self._note_route(walk, (), route)
                return (
                    refusal_of_reject(route, walk.incoming.identity)
                    if failed is None
                    else refusal_for(failed, walk.incoming.identity)
                )
            self._note_route(walk, route.candidates, route)
            attempt = await self._reserve(walk, route, number)
            if isinstance(attempt, Refusal):
                return attempt if failed is None else refusal_for(failed, walk.incoming.identity)
            try:
                await self._try(walk, attempt)
                return None
            except BackendFailed as fault:
                attempt.out_of_time = self._deadline_did_it(walk, fault)
                attempt.failed(fault)
                self._close(walk, attempt)
                if walk.reply.started:
                    self._break_off(walk)
                    return None
                if not self._may_retry(walk, attempt, fault):
                    return refusal_for(attempt, walk.incoming.identity)
                await self._lost_attempt_booked(walk, attempt)
            finally:
                self._close(walk, attempt)
            failed = attempt
            walk.ask = replace(walk.ask, tried=walk.ask.tried | {attempt.record.member})
        return None if failed is None else refusal_for(failed, walk.incoming.identity)

    async def _reserve(self, walk: Walk, route: Route, number: int) -> Attempt | Refusal:
        """Hold the first candidate that fits every budget; nothing is sent before."""
        if number > 1:  # a window may have ended since
            walk.counters = self._claims(walk.snapshot).counters(
                walk.incoming.identity, walk.call.model, walk.incoming.caller.session, self._ledger.now_ms()
            )
        ticket = self._expect(walk, route.candidates[0])
        try:
            verdict = await self._reserved(ask_of(walk, route, number))
        except asyncio.CancelledError:
            self._never_mind(ticket)
            raise
        except LedgerUnavailable as away:
            self._never_mind(ticket)
            message = f"The budget ledger does not answer ({away}); nothing was sent to a backend."
            return Refusal(RefusalCode.LEDGER_UNAVAILABLE, message, retry_after_s=1)
        if not isinstance(verdict, Hold) or verdict.index != 0:
            self._never_mind(ticket)
        if isinstance(verdict, Denial):
            return refusal_of_denial(verdict, walk.incoming.identity, self._ledger.now_ms())
        if isinstance(verdict, Stale):
            return Refusal(RefusalCode.LEDGER_UNAVAILABLE, f"The ledger refused the hold: {verdict.reason}.")
        walk.request_booked = True
        choice = route.candidates[verdict.index]
        return self._start(walk, choice, verdict, ticket if verdict.index == 0 else self._expect(walk, choice))

    def _expect(self, walk: Walk, choice: Choice) -> Ticket:
        """Counted on its backend at once, so that of many decisions within one round trip each sees the others."""
        return self._router.on_start(walk.ask, choice, self._clock.monotonic())

    def _never_mind(self, ticket: Ticket) -> None:
        """The ledger chose otherwise, or nothing at all: that teaches nothing about the backend."""
        self._router.on_end(ticket, self._clock.monotonic(), output_tokens=0, failure=None, client_left=True)

    async def _reserved(self, ask: Ask) -> Hold | Denial | Stale:
        """Reserve; where we shall never learn the verdict, a hold that was granted all the same is given back."""
        try:
            return await self._ledger.reserve(ask)
        except (asyncio.CancelledError, LedgerUnavailable):
            self._aftercare.spawn(self._give_back(ask))
            raise

    async def _give_back(self, ask: Ask) -> None:
        """Nothing was sent. If this fails too, the lease expires and charges its watermark (and says so)."""
        orphan = Hold(ask.root, ask.request_id, ask.attempt, 0, ask.candidates[0], ask.key_id)
        with contextlib.suppress(LedgerUnavailable):
            await self._ledger.release(orphan, "unsent")

    def _start(self, walk: Walk, choice: Choice, hold: Hold, ticket: Ticket) -> Attempt:
        now = self._clock.monotonic()
        member = choice.quote.member
        reason = choice.reason if hold.index == 0 else Reason.BUDGET
        row = AttemptRecord(
            attempt=hold.attempt,
            backend=member.backend,
            member=member.name,
            upstream_model=member.upstream_model,
            reason=Reason.FALLBACK if hold.attempt > 1 else reason,
            profile=member.rates.profile_id,
            profile_version=member.rates.profile_version,
            sent_ms=walk.since_accepted_ms(now),
            predicted_ttft_ms=choice.ttft_ms,
            predicted_tpot_ms=choice.tpot_ms,
            p_miss=choice.p_miss,
            held=hold.candidate.amounts,
        )
        walk.record.attempts.append(row)
        attempt = Attempt(
            hold=hold,
            choice=choice,
            ticket=ticket,
            mark=self._books.arrive(member, now),
            record=row,
            started=now,
        )
        walk.last_attempt = attempt
        return attempt

    async def _try(self, walk: Walk, attempt: Attempt) -> None:
        """Send, and relay what comes. Raises BackendFailed, ClientGone."""
        member = attempt.choice.quote.member
        backend = walk.snapshot.backends[member.backend]
        timeouts = within(backend.timeouts, walk.ask.deadline, self._clock.monotonic())
        body = openai.upstream_body(walk.call, member)
        attempt.sent = True
        try:
            answer = await self._upstreams.get(member.backend).send(
                openai.upstream_path(walk.call.kind),
                body,
                stream=walk.call.stream,
                timeouts=timeouts,
                traceparent=walk.incoming.caller.traceparent,
                request_id=walk.record.request_id,
            )
        except BackendFailed as fault:
            attempt.sent = fault.sent
            raise
        except asyncio.CancelledError:
            attempt.result = AttemptResult.CANCELLED
            raise
        attempt.record.first_byte_ms = walk.since_accepted_ms(self._clock.monotonic())
        attempt.record.status = answer.status
        try:
            await self._relayed(walk, attempt, answer)
        except (ClientGone, asyncio.CancelledError):
            self._relay.left(walk, attempt)
            attempt.draining = attempt.result is AttemptResult.CANCELLED and self._drainer.takes(walk, attempt)
            raise
        finally:
            if attempt.draining:
                walk.closings.append(self._aftercare.spawn(self._drain(walk, attempt, answer)))
            else:
                answer.close()

    async def _drain(self, walk: Walk, attempt: Attempt, answer: Answer) -> None:
        await self._drainer.drain(walk, attempt, answer)
        attempt.draining = False
        self._close(walk, attempt)

    async def _relayed(self, walk: Walk, attempt: Attempt, answer: Answer) -> None:
        if answer.status >= 400:
            await self._refused_upstream(walk, attempt, answer)
        elif walk.call.stream and answer.headers.get("content-type", "").startswith("text/event-stream"):
            await self._relay.stream(walk, attempt, answer)
        else:
            await self._relay.whole(walk, attempt, answer)

    async def _refused_upstream(self, walk: Walk, attempt: Attempt, answer: Answer) -> None:
        """The caller's own 4xx passes verbatim; everything else is a failure of that backend, and not billed."""
        kind = failure_of(answer.status)
        body = await answer.body(ERROR_BODY_BYTES)
        attempt.failure = kind
        attempt.result = AttemptResult.REJECTED_UNBILLED
        if kind is FailureKind.REJECTED:
            await self._relay.rejected(walk, attempt, answer, body)
            return
        raise BackendFailed(
            kind,
            f"it answered {answer.status}",
            sent=True,
            status=answer.status,
            retry_after_s=seconds_of(answer.headers.get("retry-after")),
        )

    def _deadline_did_it(self, walk: Walk, fault: BackendFailed) -> bool:
        """Whether the caller's deadline cut the backend's limits short, so that the failure is not the backend's."""
        deadline = walk.ask.deadline
        timed = fault.kind in (FailureKind.TIMEOUT, FailureKind.CONNECT)
        return timed and deadline is not None and self._clock.monotonic() >= deadline - DEADLINE_SLACK_S

    def _may_retry(self, walk: Walk, attempt: Attempt, fault: BackendFailed) -> bool:
        """Only while time is left, and where a request that may have been billed may be sent again."""
        deadline = walk.ask.deadline
        if deadline is not None and self._clock.monotonic() >= deadline:
            return False
        answered = attempt.result is AttemptResult.REJECTED_UNBILLED
        backend = walk.snapshot.backends[attempt.record.backend]
        return not fault.sent or answered or backend.resend_after_send

    async def _lost_attempt_booked(self, walk: Walk, attempt: Attempt) -> None:
        """The next attempt's price includes what this one may have cost, so its books are closed first."""
        walk.closings.append(self._aftercare.spawn(self._close_books(walk)))
        await asyncio.shield(walk.closings[-1])
        if attempt.rated is not None:
            walk.booked_before += attempt.rated
        else:
            walk.request_booked = False

    def _break_off(self, walk: Walk) -> None:
        """A stream that began and broke: no second answer is spliced in, and no event is added."""
        walk.end(Outcome.INCOMPLETE, 200)
        walk.record.error_code = RefusalCode.UPSTREAM_ERROR
        walk.reply.abort()

    def _close(self, walk: Walk, attempt: Attempt) -> None:
        """The upstream socket is closed: leave the counts now, settle in aftercare. Once per attempt."""
        if attempt.closed or attempt.draining:
            return
        attempt.closed = True
        if attempt.result is AttemptResult.UNKNOWN and attempt.reader is not None and walk.reply.started:
            attempt.result = AttemptResult.BROKEN
        ended = self._clock.monotonic()
        row, since = attempt.record, walk.since_accepted_ms
        row.first_token_ms = None if attempt.first_token is None else since(attempt.first_token)
        row.last_token_ms = None if attempt.last_token is None else since(attempt.last_token)
        base = self._books.depart(attempt.choice.quote.member, attempt.mark, ended)
        walk.unclosed.append((attempt, base, ended))

    async def close(self, walk: Walk) -> None:
        """Settle every attempt of a request that has ended; runs in aftercare."""
        if walk.closings:
            await asyncio.wait(walk.closings)
        await self._close_books(walk)

    async def _close_books(self, walk: Walk) -> None:
        while walk.unclosed:
            attempt, base, ended = walk.unclosed.pop(0)
            await self._closer.close(walk, attempt, base, ended)

    def _note_route(self, walk: Walk, candidates: tuple[Choice, ...], route: Route | Reject) -> None:
        if walk.record.candidates:
            return
        walk.record.candidates = [choice.quote.member.name for choice in candidates]
        walk.record.passed_over = {passed.member: passed.reason.value for passed in route.passed_over}


def within(timeouts: Timeouts, deadline: float | None, now: float) -> Timeouts:
    """The backend's timeouts, cut to the caller's deadline."""
    if deadline is None:
        return timeouts
    left_ms = max(1, int((deadline - now) * 1_000))
    return replace(
        timeouts,
        connect_ms=min(timeouts.connect_ms, left_ms),
        first_byte_ms=min(timeouts.first_byte_ms, left_ms),
        total_ms=min(timeouts.total_ms, left_ms),
    )


def seconds_of(retry_after: str | None) -> float | None:
    """A `Retry-After` in seconds; dates and nonsense are ignored."""
    if retry_after is None or not retry_after.isdecimal():
        return None
    return min(float(retry_after), RETRY_AFTER_MAX_S)

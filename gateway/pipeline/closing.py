"""The end of an attempt: what was used, what it costs, settled once; and what the house learns from it."""

from __future__ import annotations

import orjson

from gateway.dialects.openai import priced_usage
from gateway.domain.amounts import NOTHING
from gateway.domain.call import ModelCall
from gateway.domain.faults import LedgerUnavailable
from gateway.domain.record import AttemptResult
from gateway.domain.usage import NO_USAGE, Basis, TokenUsage
from gateway.metering.attribution import Base, attributed
from gateway.metering.estimate import InputEstimator
from gateway.metering.lengths import OutputLengths
from gateway.metering.pricing import marginal, rated
from gateway.pipeline.asking import counted_as
from gateway.pipeline.walk import Attempt, Walk
from gateway.policy.router import Router
from gateway.ports import Count, Ledger

UNBILLED = frozenset({AttemptResult.UNSENT, AttemptResult.REJECTED_UNBILLED})
IMAGE_ALLOWANCE_TOKENS = 1_000_000  # a body that only links to images or audio can stand for more tokens than bytes
TEMPLATE_ALLOWANCE_TOKENS = 16_384  # system prompts and tool templates that a server adds by itself


class Closer:
    """Settles attempts in aftercare, where no client's leaving can cancel it."""

    def __init__(self, *, ledger: Ledger, router: Router, estimator: InputEstimator, lengths: OutputLengths) -> None:
        self._ledger = ledger
        self._router = router
        self._estimator = estimator
        self._lengths = lengths

    async def close(self, walk: Walk, attempt: Attempt, base: Base, ended: float) -> None:
        """Count if nobody did, price, tell the router, and end the hold exactly once."""
        call = walk.call
        if attempt.result not in UNBILLED and attempt.usage is None:
            attempt.usage = await self.counted(call, attempt)
        usage = attempt.usage or NO_USAGE
        self._learn(walk, call, attempt, usage, ended)
        self._price(walk, attempt, usage, base, ended)
        await self._book(walk, attempt, usage)

    async def counted(self, call: ModelCall, attempt: Attempt) -> TokenUsage:
        """What we can say ourselves: the estimated input, and the tokens of what we relayed."""
        texts = attempt.reader.output_texts() if attempt.reader is not None else attempt.output_texts
        member = attempt.choice.quote.member
        count = self._estimator.count_output(texts, member.encoding, member.name)
        if not isinstance(count, Count):
            count = await count
        lost = attempt.result is AttemptResult.UNKNOWN
        return TokenUsage(
            input_tokens=attempt.choice.quote.input_tokens,
            output_tokens=count.tokens,
            basis=Basis.UNKNOWN if lost else Basis.COUNTED,
        )

    def _learn(self, walk: Walk, call: ModelCall, attempt: Attempt, usage: TokenUsage, ended: float) -> None:
        left = attempt.result is AttemptResult.CANCELLED or attempt.out_of_time
        self._router.on_end(
            attempt.ticket,
            ended if attempt.last_token is None else attempt.last_token,
            output_tokens=usage.output_tokens,
            failure=attempt.failure,
            client_left=left,
            retry_after_s=attempt.retry_after_s,
        )
        if attempt.result is not AttemptResult.SERVED:
            return
        if usage.basis is Basis.PROVIDER:
            self._estimator.learn(attempt.choice.quote.member.name, call, usage.input_tokens)
        if usage.output_tokens:
            self._lengths.learn(call.model, walk.incoming.identity.key_id, usage.output_tokens)

    def _price(self, walk: Walk, attempt: Attempt, usage: TokenUsage, base: Base, ended: float) -> None:
        rates = attempt.choice.quote.member.rates
        row = attempt.record
        row.result = attempt.result
        row.error = attempt.failure
        row.usage = usage
        row.ended_ms = walk.since_accepted_ms(ended)
        billed = attempt.result not in UNBILLED
        if billed:
            marginal_part = marginal(rates, usage)
            if attempt.rated is None:
                attempt.rated = rated(rates, usage)
            row.marginal = marginal_part
            row.rated = counted_as(attempt.rated, attempt.hold.candidate.amounts.requests)
            row.attributed = attributed(marginal_part, base)
        elif attempt.sent:
            row.marginal = row.rated = NOTHING  # an explicit zero, not an unknown
            row.attributed = attributed(NOTHING, base)
        row.energy_tier, row.energy_boundary, row.zone = rates.energy_tier, rates.energy_boundary, rates.zone

    async def _book(self, walk: Walk, attempt: Attempt, usage: TokenUsage) -> None:
        row = attempt.record
        try:
            if attempt.rated is None or row.rated is None:
                row.ledger = "released"
                await self._ledger.release(attempt.hold, attempt.result)
                return
            row.ledger = "settled"
            kept = await self._ledger.settle(
                attempt.hold,
                row.rated,
                usage.basis,
                summary=summary_of(walk, attempt, usage),
                alias=walk.incoming.caller.client_request_id,
            )
            if not kept:
                row.ledger = "conflict"
        except LedgerUnavailable:
            row.ledger = "unsettled"  # the ledger keeps it and books it when Redis is back


def sane(usage: TokenUsage | None, call: ModelCall, output_bound: int) -> TokenUsage | None:
    """The backend's figures, unless they can not be true: then None, and we count ourselves.

    No text of n bytes has more than n tokens; images, audio and templates get a stated allowance.
    """
    if usage is None:
        return None
    allowance = TEMPLATE_ALLOWANCE_TOKENS + call.token_ids
    if call.needs & {"vision", "audio"}:
        allowance += IMAGE_ALLOWANCE_TOKENS
    if usage.input_tokens > call.body_bytes + allowance:
        return None
    # twice, as some servers overrun a bound by speculative tokens, and some bill reasoning beyond it
    if call.output_tokens_max is not None and usage.output_tokens > 2 * output_bound + TEMPLATE_ALLOWANCE_TOKENS:
        return None
    return usage


def summary_of(walk: Walk, attempt: Attempt, usage: TokenUsage) -> bytes:
    """What `GET /v1/usage/{id}` answers, as JSON, reduced to what the key may see."""
    bill = attempt.bill or walk.bill(attempt.choice.quote.member, attempt.rated or NOTHING, attempt.hold)
    return orjson.dumps(
        {
            "id": walk.record.request_id,
            "object": "joulegate.usage",
            "model": walk.record.model,
            "created": walk.record.started_wall_ms // 1_000,
            "result": attempt.result,
            "attempts": attempt.hold.attempt,
            "basis": usage.basis,
            "usage": priced_usage(usage, bill),
        }
    )

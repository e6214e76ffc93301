"""The usage record of one request: opened at the door, totalled when every attempt is closed."""

from __future__ import annotations

from gateway.domain.amounts import Amounts
from gateway.domain.catalog import Snapshot
from gateway.domain.record import AttemptRecord, AttemptResult, Outcome, UsageRecord
from gateway.domain.usage import TokenUsage
from gateway.metering.pricing import rated
from gateway.pipeline.incoming import Incoming
from gateway.pipeline.walk import Attempt, Walk
from gateway.policy.sla import met

OURS_TO_ANSWER = frozenset({Outcome.SERVED, Outcome.UPSTREAM_FAILED, Outcome.INCOMPLETE})


def open_record(incoming: Incoming, snapshot: Snapshot, gateway: str) -> UsageRecord:
    """What is known before the body is read."""
    identity, caller = incoming.identity, incoming.caller
    return UsageRecord(
        request_id=caller.request_id,
        started_wall_ms=incoming.accepted_wall_ms,
        kind=incoming.kind.value,
        key_id=identity.key_id,
        team=identity.team,
        org=identity.org,
        project=identity.project,
        gateway=gateway,
        policy_version=snapshot.version,
        client_request_id=caller.client_request_id,
        traceparent=caller.traceparent,
        session=caller.session,
        tags=dict(caller.tags),
        sdk_retry=caller.sdk_retry,
        sla_class=snapshot.default_class,
    )


def total_up(walk: Walk) -> None:
    """Sum the attempts, and say whether the promise on latency was kept."""
    record = walk.record
    for row in record.attempts:
        record.marginal = plus(record.marginal, row.marginal)
        record.rated = plus(record.rated, row.rated)
        record.attributed = plus(record.attributed, row.attributed)
    last = walk.last_attempt
    if last is not None:
        _of_the_last(walk, last, last.record)
    record.sla_met = sla_met(walk)


def _of_the_last(walk: Walk, last: Attempt, row: AttemptRecord) -> None:
    record, quote = walk.record, last.choice.quote
    record.backend, record.member, record.usage = row.backend, row.member, row.usage
    record.input_tokens_estimated, record.input_estimate_exact = quote.input_tokens, quote.input_exact
    record.output_tokens_expected, record.output_tokens_max = quote.output_tokens_expected, quote.output_tokens_max
    record.overhead_ms = row.sent_ms + max(0.0, record.duration_ms - max(row.last_token_ms or 0.0, row.ended_ms))
    if row.first_token_ms is not None:
        record.ttft_ms = row.first_token_ms
        record.tpot_ms = tpot_ms(row)
    if row.result is AttemptResult.SERVED:
        record.baseline_dearest_usd_nanos = dearest_usd_nanos(walk, last, row.usage)


def dearest_usd_nanos(walk: Walk, served: Attempt, usage: TokenUsage) -> int:
    """The same usage rated on the dearest member of the served model: what was saved is the difference."""
    dearest = 0 if served.rated is None else served.rated.usd_nanos
    for quote in walk.ask.quotes:
        if quote is not served.choice.quote:
            dearest = max(dearest, rated(quote.member.rates, usage).usd_nanos)
    return dearest


def tpot_ms(row: AttemptRecord) -> float | None:
    """(last chunk - first chunk) / (output tokens - 1); None where a second token never came."""
    if row.first_token_ms is None or row.last_token_ms is None or row.usage.output_tokens < 2:
        return None
    return (row.last_token_ms - row.first_token_ms) / (row.usage.output_tokens - 1)


def sla_met(walk: Walk) -> bool | None:
    """Whether every declared bound held. None leaves the request out: it was refused, or the client left."""
    record = walk.record
    if record.outcome not in OURS_TO_ANSWER or walk.last_attempt is None:
        return None
    if record.outcome is not Outcome.SERVED:
        return False
    return met(
        walk.ask.sla,
        stream=record.stream,
        ttft_ms=record.ttft_ms,
        tpot_ms=record.tpot_ms,
        e2e_ms=record.duration_ms,
        output_tokens=record.usage.output_tokens,
    )


def plus(total: Amounts | None, part: Amounts | None) -> Amounts | None:
    """Sum where both are there; an attempt without amounts (unsent) adds nothing."""
    if part is None:
        return total
    return part if total is None else total + part

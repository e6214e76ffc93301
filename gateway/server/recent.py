"""The last requests, in memory: for the page's table and for `explain`. Nothing here outlives the process."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

import orjson

from gateway.domain.amounts import MJ_PER_JOULE, NANOS_PER_USD
from gateway.domain.record import UsageRecord
from gateway.server.overview import RequestView

RECORDS_MAX: Final = 1_000


class Recent:
    """A bounded ring of usage records, newest last. Records hold no prompts, answers or keys."""

    def __init__(self, records_max: int = RECORDS_MAX):
        self._records: OrderedDict[str, UsageRecord] = OrderedDict()
        self._records_max = records_max

    def add(self, record: UsageRecord) -> None:
        """Keep one; forget the oldest."""
        self._records[record.request_id] = record
        if len(self._records) > self._records_max:
            self._records.popitem(last=False)

    def decision(self, request_id: str) -> Mapping[str, object] | None:
        """The whole record of one request: candidates, who was passed over and why, every attempt."""
        record = self._records.get(request_id) or self._by_caller_id(request_id)
        if record is None:
            return None
        decision: Mapping[str, object] = orjson.loads(orjson.dumps(record))
        return decision

    def last(self, count: int) -> list[RequestView]:
        """The newest first."""
        records = list(self._records.values())
        return [view_of(record) for record in reversed(records[-count:])]

    def _by_caller_id(self, request_id: str) -> UsageRecord | None:
        """The newest request the caller gave that id, which is what its answer's header said."""
        return next(
            (record for record in reversed(self._records.values()) if record.client_request_id == request_id), None
        )


def view_of(record: UsageRecord) -> RequestView:
    """One row of the page's table."""
    rated = record.rated
    energy_mj = None if rated is None else rated.energy_mj
    return RequestView(
        request_id=record.request_id,
        at_ms=record.started_wall_ms,
        team=record.team,
        model=record.model,
        backend=record.backend,
        status=record.status,
        outcome=record.outcome.value,
        usd=None if rated is None else rated.usd_nanos / NANOS_PER_USD,
        joules=None if energy_mj is None else energy_mj / MJ_PER_JOULE,
        output_tokens=record.usage.output_tokens,
        ttft_ms=record.ttft_ms,
        duration_ms=record.duration_ms,
        reason=record.attempts[-1].reason if record.attempts else record.error_code,
    )

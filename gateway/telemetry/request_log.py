"""One line per request, told at its end by the recorder's thread."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal, TextIO

import orjson

from gateway.domain.amounts import NANOS_PER_USD
from gateway.domain.record import Outcome, UsageRecord
from gateway.telemetry.redaction import name_or_mark

Which = Literal["all", "failed", "none"]
FINE = frozenset({Outcome.SERVED, Outcome.CLIENT_LEFT})
TROUBLE = frozenset(  # ours, or of a backend: for an operator to look at; the rest is the caller's
    {Outcome.UPSTREAM_FAILED, Outcome.INCOMPLETE, Outcome.NO_BACKEND, Outcome.UNAVAILABLE, Outcome.INTERNAL}
)


class RequestLog:
    """Writes the line of each finished request to `stream`.

    which: "failed" leaves out served requests and those whose client left; "none" writes nothing. A stream that is gone
    or full loses lines, not records.
    """

    def __init__(self, stream: TextIO, *, which: Which = "all", console: bool | None = None) -> None:
        self._stream = stream
        self._which = which
        self._line = console_line if (stream.isatty() if console is None else console) else json_line

    def tell(self, records: Sequence[UsageRecord]) -> None:
        """Write the lines of a batch at once."""
        lines = "".join(self._line(record) for record in records if self._wanted(record))
        if lines:
            with contextlib.suppress(OSError, ValueError):  # ValueError: closed
                self._stream.write(lines)
                self._stream.flush()

    def _wanted(self, record: UsageRecord) -> bool:
        return self._which == "all" or (self._which == "failed" and record.outcome not in FINE)


def request_fields(record: UsageRecord) -> dict[str, str | int | float | bool | None]:
    """What is told of a request; the model's name is the caller's text, so only if it is a name."""
    return {
        "id": record.request_id,
        "model": name_or_mark(record.model),
        "backend": record.backend,
        "team": record.team,
        "outcome": record.outcome.value,
        "status": record.status,
        "code": record.error_code,
        "ms": round(record.duration_ms, 1),
        "ttft_ms": None if record.ttft_ms is None else round(record.ttft_ms, 1),
        "input_tokens": record.usage.input_tokens,
        "output_tokens": record.usage.output_tokens,
        "usd": None if record.rated is None else record.rated.usd_nanos / NANOS_PER_USD,
        "attempts": len(record.attempts),
        "stream": record.stream,
    }


def ended_at(record: UsageRecord) -> str:
    """When the request ended, as ISO 8601 in UTC."""
    moment = datetime.fromtimestamp((record.started_wall_ms + record.duration_ms) / 1_000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def json_line(record: UsageRecord) -> str:
    """For machines."""
    fields = {key: value for key, value in request_fields(record).items() if value is not None}
    level = "warning" if record.outcome in TROUBLE else "info"
    return orjson.dumps({"timestamp": ended_at(record), "level": level, "event": "request", **fields}).decode() + "\n"


def console_line(record: UsageRecord) -> str:
    """For people."""
    fields = request_fields(record)
    usd = "-" if fields["usd"] is None else f"${fields['usd']:.6f}"
    tokens = f"{fields['input_tokens']}+{fields['output_tokens']}"
    where = f"{fields['model']}@{fields['backend'] or '-'}"
    return (
        f"{ended_at(record)[11:19]} {record.status or '---'} {record.outcome.value:<13} {where:<28} {record.team:<12} "
        f"{tokens:>11} tok {usd:>11} {record.duration_ms:8.0f} ms  {record.request_id}\n"
    )

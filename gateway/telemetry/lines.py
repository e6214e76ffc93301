"""One usage record as one line of JSON."""

from __future__ import annotations

import json
from dataclasses import asdict

import orjson

from gateway.domain.record import UsageRecord


def to_line(record: UsageRecord) -> bytes:
    """The record's JSON and a newline. Never fails: what orjson refuses (a lone surrogate in a caller's tag, an
    integer beyond 64 bits) is written by the slower encoder, as ASCII escapes.
    """
    try:
        return orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)
    except orjson.JSONEncodeError:
        return json.dumps(asdict(record), default=str).encode("ascii") + b"\n"

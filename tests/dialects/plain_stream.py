"""The plain, slow reading of a whole stream: what the reader must equal however the stream was cut.

Works on the whole bytes at once, line by line, and parses every event; shares no code with the reader but the reading
of a usage object and the shape of a price, which have tests of their own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field

import orjson

from gateway.dialects.usage import read_usage, with_price
from gateway.domain.bill import Bill
from gateway.domain.call import CallKind
from gateway.domain.usage import TokenUsage


@dataclass
class PlainReading:
    out: bytes = b""
    usage: TokenUsage | None = None
    complete: bool = False
    bills: list[TokenUsage] = field(default_factory=list)


def read_plainly(stream: bytes, *, wants_usage: bool, bill: Callable[[TokenUsage], Bill | None]) -> PlainReading:
    reading = PlainReading()
    for event in events_of(stream):
        reading.out += one_event(event, reading, wants_usage, bill)
    return reading


def events_of(stream: bytes) -> list[bytes]:
    """Lines are collected until an empty one; the rest without an empty line is the last event."""
    events, event = [], b""
    for line in re.findall(rb"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+\Z", stream):
        event += line
        if line in (b"\r\n", b"\r", b"\n") and event != line:
            events.append(event)
            event = b""
        elif line in (b"\r\n", b"\r", b"\n") and len(event) == len(line):
            continue  # an empty line at the start belongs to the event it precedes
    if event:
        events.append(event)
    return events


def one_event(
    event: bytes, reading: PlainReading, wants_usage: bool, bill: Callable[[TokenUsage], Bill | None]
) -> bytes:
    fields = re.split(rb"\r\n|\r|\n", event.removeprefix(b"\xef\xbb\xbf"))
    lines = [line for line in fields if line.startswith(b"data:")]
    data = b"\n".join(line[5:].removeprefix(b" ") for line in lines)
    if data.strip() == b"[DONE]":
        reading.complete = True
    try:
        parsed = orjson.loads(data)
    except orjson.JSONDecodeError:
        return event
    if not isinstance(parsed, dict) or "usage" not in parsed:
        return event
    reported = parsed["usage"]
    if isinstance(reported, dict):
        reading.usage = read_usage(CallKind.CHAT, reported)
        if not wants_usage:
            return event if parsed.get("choices") else b""
        price = None if reading.usage is None else bill(reading.usage)
        if price is None:
            return event
        raw = re.search(rb'"usage"\s*:\s*(\{(?:[^{}]|\{[^{}]*\})*\})', event)
        assert raw is not None, "the generator writes usage flat or with one level of details"
        return event[: raw.start(1)] + orjson.dumps(with_price(json.loads(raw[1]), price)) + event[raw.end(1) :]
    if reported is None and not wants_usage:
        shorter = re.sub(rb',\s*"usage"\s*:\s*null', b"", event, count=1)
        return shorter if shorter != event else re.sub(rb'"usage"\s*:\s*null\s*,\s*', b"", event, count=1)
    return event

"""The operator's log: JSON lines on stderr, or coloured text where a person reads. One line per request, at its end.

What may be logged is an allow-list of fields (FIELDS): a prompt, an answer or a key has no field to stand in. Events
are constant names; whatever varies is a field. No global of `logging` is changed but its root handler, by
`adopt_logging`, so that what libraries say passes the same gate.

The line of a request is written by the recorder's thread from the finished record (`RequestLog`), never on the path of
the request: one JSON encoding and one write per batch.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Literal, TextIO

import orjson

from gateway.telemetry.redaction import describe, scrub

Level = Literal["debug", "info", "warning", "error"]
LEVELS: Mapping[Level, int] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}

PLAIN = "\x1b[0m"
COLOURS: Mapping[str, str] = {"debug": PLAIN, "info": "\x1b[32m", "warning": "\x1b[33m", "error": "\x1b[31m"}

HEAD_FIELDS = ("timestamp", "level", "event", "logger")
REQUEST_FIELDS = ("id", "model", "backend", "team", "outcome", "status", "code", "ms", "usd", "attempts")
FAULT_FIELDS = ("error", "error_type", "error_at", "reason", "step", "count", "waiting", "lost", "files", "seconds")
PROCESS_FIELDS = ("host", "port", "admin_port", "pid", "version", "signal", "gateway", "path", "workers")
AUDIT_FIELDS = ("action", "target", "peer")
RULE_FIELDS = ("policy", "budget", "budgets", "models", "backends")
FIELDS = frozenset((*HEAD_FIELDS, *REQUEST_FIELDS, *FAULT_FIELDS, *PROCESS_FIELDS, *AUDIT_FIELDS, *RULE_FIELDS))

Fields = Mapping[str, object]


class Log:
    """Tells events with their fields. render: a line of them. `exc_info`: an exception, told by type and place."""

    def __init__(self, stream: TextIO, *, level: Level, render: Callable[[Fields], str]) -> None:
        self._stream = stream
        self._from = LEVELS[level]
        self._render = render

    def debug(self, event: str, **fields: object) -> None:
        """For those who build it."""
        self._tell("debug", event, fields)

    def info(self, event: str, **fields: object) -> None:
        """As expected."""
        self._tell("info", event, fields)

    def warning(self, event: str, **fields: object) -> None:
        """For an operator to look at some day."""
        self._tell("warning", event, fields)

    def error(self, event: str, **fields: object) -> None:
        """For an operator to look at now."""
        self._tell("error", event, fields)

    def log(self, number: int, event: str, **fields: object) -> None:
        """At one of the standard library's levels."""
        reached = [level for level, least in LEVELS.items() if least <= number]
        self._tell(reached[-1] if reached else "debug", event, fields)

    def _tell(self, level: Level, event: str, fields: dict[str, object]) -> None:
        if LEVELS[level] < self._from:
            return
        told = told_exception(fields.pop("exc_info", None))
        moment = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        known = only_known_fields({"timestamp": moment, "level": level, "event": event, **fields, **told})
        with contextlib.suppress(OSError, ValueError):  # gone, closed or on a full disk: a line is lost, never the work
            self._stream.write(self._render(known) + "\n")
            self._stream.flush()


def make_log(stream: TextIO, *, level: Level = "info", console: bool | None = None) -> Log:
    """A log that writes to `stream`. console: text for people; None: if the stream is a terminal."""
    for_people = stream.isatty() if console is None else console
    return Log(stream, level=level, render=to_text if for_people else to_json)


def to_json(event: Fields) -> str:
    """One line of JSON."""
    return orjson.dumps(event).decode()


def to_text(event: Fields) -> str:
    """One line for people: time of day, level in its colour, event, fields."""
    level = str(event["level"])
    fields = " ".join(f"{name}={value}" for name, value in event.items() if name not in HEAD_FIELDS[:3])
    return f"{str(event['timestamp'])[11:19]} {COLOURS[level]}{level:<7}{PLAIN} {event['event']:<20} {fields}".rstrip()


def told_exception(error: object) -> Fields:
    """An exception's type and place, without its message and locals."""
    return describe(error) if isinstance(error, BaseException) else {}


def only_known_fields(event: Fields) -> Fields:
    """Keep the fields of the allow-list, what every line has first, texts scrubbed and unknowns left out.

    `dropped_fields` says how many fields had no place in the list.
    """
    names = (*HEAD_FIELDS, *(name for name in event if name in FIELDS and name not in HEAD_FIELDS))
    kept = {name: plain(event[name]) for name in names if event.get(name) is not None}
    strangers = sum(name not in FIELDS for name in event)
    return {**kept, "dropped_fields": strangers} if strangers else kept


def plain(value: object) -> str | int | float | bool:
    """A value as a scalar: texts scrubbed, an object only by its type."""
    if isinstance(value, bool | int | float):
        return value
    return scrub(value) if isinstance(value, str) else f"<{type(value).__name__}>"


class _Adopted(logging.Handler):
    """Passes what libraries log through our gate, by template: arguments may hold anything; templates are code."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        template = record.msg if isinstance(record.msg, str) else type(record.msg).__name__
        self._log.log(
            record.levelno, scrub(template.splitlines()[0] if template else ""), logger=record.name, exc_info=error
        )


def adopt_logging(log: Log) -> logging.Handler:
    """Make the standard library's root logger write to `log`, from warnings up; returns the handler, to remove it."""
    handler = _Adopted(log)
    root = logging.getLogger()
    for other in tuple(root.handlers):
        root.removeHandler(other)
    root.addHandler(handler)
    return handler

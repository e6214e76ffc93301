"""The operator's log: JSON lines on stderr, or coloured text where a person reads. One line per request, at its end.

What may be logged is an allow-list of fields (FIELDS): a prompt, an answer or a key has no field to stand in. Events
are constant names; whatever varies is a field. No global of structlog or logging is changed but the root handler of
`logging`, by `adopt_logging`, so that what libraries say passes the same gate.

The line of a request is written by the recorder's thread from the finished record (`RequestLog`), never on the path of
the request: one JSON encoding and one write per batch.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping, MutableMapping
from typing import Any, Literal, TextIO, cast

import orjson
import structlog
from structlog.typing import FilteringBoundLogger, Processor

from gateway.telemetry.redaction import describe, scrub

Level = Literal["debug", "info", "warning", "error"]
LEVELS: Mapping[Level, int] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}

HEAD_FIELDS = ("timestamp", "level", "event", "logger")
REQUEST_FIELDS = ("id", "model", "backend", "team", "outcome", "status", "code", "ms", "usd", "attempts")
FAULT_FIELDS = ("error", "error_type", "error_at", "reason", "step", "count", "waiting", "lost", "files", "seconds")
PROCESS_FIELDS = ("host", "port", "admin_port", "pid", "version", "signal", "gateway", "path", "workers")
AUDIT_FIELDS = ("action", "target", "peer")
RULE_FIELDS = ("policy", "budget", "budgets", "models", "backends")
FIELDS = frozenset((*HEAD_FIELDS, *REQUEST_FIELDS, *FAULT_FIELDS, *PROCESS_FIELDS, *AUDIT_FIELDS, *RULE_FIELDS))

# What libraries log is a template and its arguments. Arguments may hold anything; templates are code.
Event = MutableMapping[str, Any]  # structlog's own type for an event


def make_log(stream: TextIO, *, level: Level = "info", console: bool | None = None) -> FilteringBoundLogger:
    """A logger that writes to `stream`. console: text for people; None: if the stream is a terminal."""
    for_people = stream.isatty() if console is None else console
    render: Processor = (
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        if for_people
        else structlog.processors.JSONRenderer(serializer=to_json)
    )
    return cast(
        FilteringBoundLogger,
        structlog.wrap_logger(
            structlog.WriteLogger(cast(TextIO, Unfailing(stream))),
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                tell_exception,
                only_known_fields,
                render,
            ],
            wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
            context_class=dict,
        ),
    )


class Unfailing:
    """A stream that may be gone or on a full disk: a line is lost then, never the work that wanted to tell it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        """Write, or lose it."""
        with contextlib.suppress(OSError, ValueError):  # ValueError: closed
            self._stream.write(text)

    def flush(self) -> None:
        """Flush, or lose it."""
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()


def to_json(event: Event, **_: object) -> str:
    """One line of JSON."""
    return orjson.dumps(event).decode()


def tell_exception(_logger: object, _method: str, event: Event) -> Event:
    """Replace `exc_info` by the exception's type and place, without its message and locals."""
    error = event.pop("exc_info", None)
    if isinstance(error, tuple):
        error = error[1]
    if isinstance(error, BaseException):
        event.update(describe(error))
    return event


def only_known_fields(_logger: object, _method: str, event: Event) -> Event:
    """Keep the fields of the allow-list, what every line has first, texts scrubbed and unknowns left out.

    `dropped_fields` says how many fields had no place in the list.
    """
    names = (*HEAD_FIELDS, *(name for name in event if name in FIELDS and name not in HEAD_FIELDS))
    kept: Event = {name: plain(event[name]) for name in names if event.get(name) is not None}
    strangers = sum(name not in FIELDS for name in event)
    return {**kept, "dropped_fields": strangers} if strangers else kept


def plain(value: object) -> str | int | float | bool:
    """A value as a scalar: texts scrubbed, an object only by its type."""
    if isinstance(value, bool | int | float):
        return value
    return scrub(value) if isinstance(value, str) else f"<{type(value).__name__}>"


class _Adopted(logging.Handler):
    """Passes what libraries log through our gate, by template: their arguments may quote a caller."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        template = record.msg if isinstance(record.msg, str) else type(record.msg).__name__
        self._log.log(
            record.levelno, scrub(template.splitlines()[0] if template else ""), logger=record.name, exc_info=error
        )


def adopt_logging(log: FilteringBoundLogger) -> logging.Handler:
    """Make the standard library's root logger write to `log`, from warnings up; returns the handler, to remove it."""
    handler = _Adopted(log)
    root = logging.getLogger()
    for other in tuple(root.handlers):
        root.removeHandler(other)
    root.addHandler(handler)
    return handler

"""JSON lines from an allow-list; nothing a caller or a library says can add a field, or a secret."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import logging
from pathlib import Path
from typing import Any

import pytest

import gateway
from gateway.telemetry.logs import FIELDS, adopt_logging, make_log

CANARY = "CANARY7f3a"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_has_time_level_event_and_fields() -> None:
    stream = io.StringIO()

    make_log(stream).info("serving", host="127.0.0.1", port=8080, workers=None)

    (line,) = lines(stream)
    assert next(iter(line)) == "timestamp"
    assert line.pop("timestamp").endswith("Z")
    assert line == {"level": "info", "event": "serving", "host": "127.0.0.1", "port": 8080}


def test_fields_outside_the_allow_list_are_dropped_and_counted() -> None:
    stream = io.StringIO()

    make_log(stream).warning("odd", prompt=CANARY, authorization=CANARY, answer={"text": CANARY}, backend="gpu")

    (line,) = lines(stream)
    assert CANARY not in stream.getvalue()
    assert (line["backend"], line["dropped_fields"]) == ("gpu", 3)


def test_an_object_in_an_allowed_field_is_told_by_its_type_alone() -> None:
    stream = io.StringIO()

    make_log(stream).info("odd", reason={"key": CANARY}, path=[CANARY])

    (line,) = lines(stream)
    assert (line["reason"], line["path"]) == ("<dict>", "<list>")


def test_an_exception_is_logged_without_message_and_locals() -> None:
    stream = io.StringIO()
    log = make_log(stream)

    try:
        raise ValueError(f"can not parse {CANARY}")
    except ValueError as error:
        log.error("failed", exc_info=error)

    (line,) = lines(stream)
    assert line["error_type"] == "ValueError"
    assert "test_logs.py" in line["error_at"]
    assert CANARY not in stream.getvalue()


def test_below_its_level_nothing_is_said() -> None:
    stream = io.StringIO()

    make_log(stream, level="warning").info("chatter")

    assert stream.getvalue() == ""


def test_a_log_on_a_full_disk_loses_lines_and_never_stops_the_work() -> None:
    with Path("/dev/full").open("w", buffering=1) as full:
        log = make_log(full)

        log.error("records_not_written", error="No space left on device")

        with contextlib.suppress(OSError):
            full.close()


def test_a_log_whose_stream_is_closed_never_stops_the_work() -> None:
    stream = io.StringIO()
    log = make_log(stream)
    stream.close()

    log.info("stopped")


def test_people_at_a_terminal_get_text() -> None:
    terminal = Terminal()

    make_log(terminal).info("serving", port=8080)

    assert "serving" in terminal.getvalue()
    assert not terminal.getvalue().startswith("{")


@pytest.fixture
def adopted() -> Any:
    stream, root = io.StringIO(), logging.getLogger()
    before, level = list(root.handlers), root.level
    handler = adopt_logging(make_log(stream))
    yield stream
    root.removeHandler(handler)
    root.handlers[:] = before
    root.setLevel(level)


def test_what_libraries_log_is_told_by_template_not_by_arguments(adopted: io.StringIO) -> None:
    logging.getLogger("some.library").warning("bad header %s from %s", CANARY, CANARY)

    (line,) = lines(adopted)
    assert (line["event"], line["logger"], line["level"]) == ("bad header %s from %s", "some.library", "warning")
    assert CANARY not in adopted.getvalue()


def test_what_libraries_format_themselves_is_scrubbed(adopted: io.StringIO) -> None:
    logging.getLogger("some.library").error(f"GET http://x/v1?api_key={CANARY} failed\n{CANARY}")

    assert CANARY not in adopted.getvalue()


def test_a_librarys_exception_keeps_type_and_place(adopted: io.StringIO) -> None:
    try:
        raise KeyError(CANARY)
    except KeyError:
        logging.getLogger("asyncio").exception("Task exception was never retrieved")

    (line,) = lines(adopted)
    assert line["error_type"] == "KeyError"
    assert CANARY not in adopted.getvalue()


def test_chatter_of_libraries_is_not_repeated(adopted: io.StringIO) -> None:
    logging.getLogger("some.library").info("hello")

    assert adopted.getvalue() == ""


def test_every_field_that_our_code_logs_has_its_place_in_the_list() -> None:
    levels, missing = {"debug", "info", "warning", "error"}, []
    for path in Path(gateway.__file__).parent.rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(call, ast.Call)
                and isinstance(call.func, ast.Attribute)
                and call.func.attr in levels
                and ast.unparse(call.func.value).split(".")[-1].strip("_") == "log"
            ):
                named = {keyword.arg for keyword in call.keywords if keyword.arg} - {"exc_info"}
                missing += [(path.name, call.lineno, field) for field in sorted(named - FIELDS)]

    assert missing == []

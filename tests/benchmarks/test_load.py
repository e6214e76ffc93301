"""The instruments themselves: what goes in comes out, nothing is lost, and a figure over errors is refused."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator

import pytest

from benchmarks.bodies import long_chats, small
from benchmarks.load import Connection, Load, Outcome
from benchmarks.mock_upstream import ANSWER, EVENTS, Upstream
from benchmarks.profile import areas, parse
from benchmarks.report import table
from benchmarks.wire import post
from benchmarks.workloads import sound

RATE = 1_000.0  # events a second, so that a stream lasts 40 ms


@contextlib.asynccontextmanager
async def a_mock() -> AsyncIterator[Load]:
    server = await asyncio.get_running_loop().create_server(lambda: Upstream(EVENTS, 1 / RATE), "127.0.0.1", 0)
    try:
        yield Load(server.sockets[0].getsockname()[1])
    finally:
        server.close()


def a_request(*, stream: bool = False) -> bytes:
    return post("/v1/chat/completions", "127.0.0.1", small(random.Random(1), stream=stream))


async def test_every_request_of_a_closed_loop_is_answered_once() -> None:
    async with a_mock() as load:
        outcome = await load.closed([a_request()] * 50, 8)

    assert (outcome.answers, outcome.failures, len(outcome.latencies)) == (50, 0, 50)


async def test_paced_requests_leave_on_schedule() -> None:
    async with a_mock() as load:
        outcome = await load.paced([a_request()] * 20, 200.0, 4)

    assert outcome.answers == 20
    assert outcome.seconds >= 19 / 200


async def test_every_event_of_every_stream_is_seen_with_its_delay() -> None:
    async with a_mock() as load:
        outcome = await load.streams(a_request(stream=True), 5, 0.01)

    assert (outcome.answers, outcome.events) == (5, 5 * EVENTS)
    assert min(outcome.delays) >= 0


@pytest.mark.parametrize("size", [1, 7, 64])
async def test_an_answer_cut_into_pieces_is_read_like_one_in_whole(size: int) -> None:
    stamp = b'data: {"delta":{"content":"t%019d of one"}}\n\n' % 5
    raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(stamp), stamp)
    outcome = Outcome()
    connection = Connection(outcome)
    transport = Sink()
    connection.connection_made(transport)

    answered = connection.send(b"request")
    for start in range(0, len(raw), size):
        connection.data_received(raw[start : start + size])

    await answered
    assert (outcome.answers, outcome.events) == (1, 1)


class Sink(asyncio.Transport):
    """Swallows what is written."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        pass

    def get_extra_info(self, name: str, default: object = None) -> object:
        return self

    def setsockopt(self, *_: int) -> None:
        pass


def test_figures_over_errors_are_refused() -> None:
    with pytest.raises(RuntimeError, match=r"5 of 100 failed, e\.g\. 503: busy"):
        sound(Outcome(answers=95, failures=5, failure="503: busy"))


def test_bodies_are_as_large_as_they_are_said_to_be_and_no_two_alike() -> None:
    draw = random.Random(2)
    first, again = long_chats(draw, 2)

    assert 300 <= len(small(draw)) <= 400
    assert small(draw) != small(draw)
    assert 30_000 <= len(first[0]) <= 36_000
    assert again[0].startswith(first[0].partition(b"]")[0])
    assert len(ANSWER) == pytest.approx(950, abs=100)


def test_the_table_takes_ratios_within_a_round() -> None:
    rounds = {
        "forwarder": [{"small_cpu_ms": 1.0}, {"small_cpu_ms": 2.0}, {"small_cpu_ms": 1.0}],
        "joulegate": [{"small_cpu_ms": 1.5}, {"small_cpu_ms": 3.2}, {"small_cpu_ms": 1.2}],
    }

    assert "| 1.500 [1.200-3.200] **x1.50** | x1.6 |" in table(rounds)


def test_a_sample_counts_to_the_innermost_code_that_is_known() -> None:
    raw = "main (x.py:1);serve (gateway/server/data.py:5);loads (json/decoder.py:3) 3\nwait (threading.py:2) 9"

    assert areas(parse(raw)) == {"gateway/server": 1.0}

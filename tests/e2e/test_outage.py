"""What is left when something dies: the gateway by SIGKILL, Redis in the middle of a run, the disk of the records."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import signal
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from gateway.ledger.channel import DEADLINE_S
from tests.faultproxy import FaultProxy
from tests.support.callers import Stream, a_chat, ask, eventually
from tests.support.gateway import Gateway, Served, gateway, write_config
from tests.support.upstream import Upstream, upstream
from tests.support.valkey import valkey

POLICY = """
models:
  - {name: chat, members: [MEMBERS]}
budgets:
  - {name: team-day, scope: {team: support}, limit_usd: "5.00", window: day}
"""
# demo/swift: $2 and $8 a million; the upstream always reports 10 and 5 tokens
USD_NANOS = 10 * 2_000 + 5 * 8_000
USD_NANOS_PER_INPUT_TOKEN = 2_000
PREFIX = "jg:{default}:"


@pytest.fixture(scope="module")
def model() -> Iterator[Upstream]:
    with upstream() as running:
        yield running


@pytest.fixture(autouse=True)
def _unpaused(model: Upstream) -> Iterator[None]:
    model.go.set()
    yield
    model.go.set()


def a_config(directory: Path, model: Upstream, redis_url: str | None = None) -> Path:
    served = [Served("swift", model.url, profile="demo/swift")]
    return write_config(directory, served, policy=POLICY, redis=redis_url, extra={"drain_seconds": 5})


def standing(house: Gateway) -> tuple[int, int, int]:
    """Nano-dollars spent and held on the team's budget, and requests counted there."""
    (row,) = house.admin("/admin/v1/budgets")["data"]
    return round(row["spent"]["usd"] * 1e9), round(row["held"]["usd"] * 1e9), int(row["spent"].get("requests", 0))


def kill(house: Gateway) -> None:
    assert house.process is not None
    os.kill(house.pid, signal.SIGKILL)
    house.process.wait(20)


def end_leases_now(store: redis.Redis) -> int:
    """Every live hold is due: a lease outlives the longest stream by a minute, which no test waits for."""
    members = store.zrange(PREFIX + "l", 0, -1)
    if members:
        store.zadd(PREFIX + "l", dict.fromkeys(members, 0))
    return len(members)


def rated(records: list[dict[str, Any]]) -> int:
    return sum(record["rated"]["usd_nanos"] for record in records if record["rated"])


def test_a_killed_gateway_takes_its_valkey_along_and_starts_again_with_keys_counters_and_orphans(
    tmp_path: Path, model: Upstream
) -> None:
    config = a_config(tmp_path, model)
    with gateway(config) as house:
        key = house.key()
        assert ask(house.port, key).status == 200
        assert eventually(lambda: standing(house) == (USD_NANOS, 0, 1) and len(house.records()) == 1)
        model.go.clear()
        orphan = Stream(house.port, key).until(b" there")
        held = standing(house)[1]
        own = redis.Redis(unix_socket_path=json.loads((tmp_path / "data/valkey/lock").read_text())["socket"])
        server_pid = own.info("server")["process_id"]
        own.config_set("appendfsync", "always")  # else the last second may be lost with it; that bound is declared

        kill(house)

        assert orphan.rest() is False
        assert eventually(lambda: not Path(f"/proc/{server_pid}").exists())
    model.go.set()
    with gateway(config) as house:
        own = redis.Redis(unix_socket_path=json.loads((tmp_path / "data/valkey/lock").read_text())["socket"])
        assert standing(house) == (USD_NANOS, held, 1)
        assert held > 0

        assert end_leases_now(own) == 1

        assert eventually(lambda: standing(house)[1] == 0)  # the sweeper comes by
        (first,) = house.records()
        watermark = first["input_tokens_estimated"] * USD_NANOS_PER_INPUT_TOKEN  # the same prompt was sent twice
        assert standing(house) == (USD_NANOS + watermark, 0, 2)
        assert house.metric("joulegate_holds_expired_total") == 1
        assert ask(house.port, key).status == 200


def test_when_one_of_two_gateways_is_killed_the_other_goes_on_and_ends_its_holds(
    tmp_path: Path, model: Upstream
) -> None:
    with (
        valkey(tmp_path) as url,
        gateway(a_config(tmp_path / "one", model, url)) as one,
        gateway(a_config(tmp_path / "two", model, url)) as two,
    ):
        store = redis.Redis(unix_socket_path=url.removeprefix("unix://"))
        key = one.key()
        assert ask(two.port, key).status == 200
        model.go.clear()
        orphans = [Stream(one.port, key).until(b" there") for _ in range(3)]

        kill(one)
        model.go.set()

        assert [orphan.rest() for orphan in orphans] == [False] * 3
        assert ask(two.port, key).status == 200
        assert eventually(lambda: store.zcard(PREFIX + "l") == 3)  # its own hold has ended
        assert end_leases_now(store) == 3
        assert ask(two.port, key).status == 200  # a reserve reaps what is due before it looks at what is left
        assert eventually(lambda: len(two.records()) == 3 and standing(two)[1] == 0)
        watermark = two.records()[0]["input_tokens_estimated"] * USD_NANOS_PER_INPUT_TOKEN
        assert standing(two) == (3 * USD_NANOS + 3 * watermark, 0, 6)


class Proxied:
    """A fault proxy on a loop of its own, so that a test may block."""

    def __init__(self, target: str):
        self.proxy = FaultProxy(target)
        self._loop = asyncio.new_event_loop()
        self._ended = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._run()))

    async def _run(self) -> None:
        async with self.proxy:
            self._ready.set()
            await self._ended.wait()

    def __enter__(self) -> Proxied:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()
        self._loop.close()

    @contextlib.contextmanager
    def away(self, *, silently: bool) -> Iterator[None]:
        """Redis is gone: connections are reset and refused, or nothing on them is ever answered."""
        if silently:
            self.proxy.black_hole = True
        else:
            self.proxy.refuse = True
            self._loop.call_soon_threadsafe(self.proxy.reset_all)
        try:
            yield
        finally:
            self.proxy.refuse = self.proxy.black_hole = False
            self._loop.call_soon_threadsafe(self.proxy.reset_all)


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory, model: Upstream) -> Iterator[tuple[Gateway, Proxied]]:
    """A gateway whose Redis is behind a proxy that can break."""
    directory = tmp_path_factory.mktemp("far")
    with (
        valkey(directory) as url,
        Proxied(url.removeprefix("unix://")) as proxied,
        gateway(a_config(directory / "gateway", model, f"redis://127.0.0.1:{proxied.proxy.port}/0")) as house,
    ):
        yield house, proxied


@pytest.fixture(scope="module")
def far_key(far: tuple[Gateway, Proxied]) -> str:
    return far[0].key()


@pytest.mark.parametrize("way", ["gone", "silent"])
def test_while_redis_is_away_nothing_is_sent_and_what_runs_ends_and_is_settled_later(
    far: tuple[Gateway, Proxied], far_key: str, model: Upstream, way: str
) -> None:
    house, proxied = far
    known = len(house.records())
    assert ask(house.port, far_key).status == 200
    assert eventually(lambda: standing(house)[1] == 0 and len(house.records()) == known + 1)
    spent_before, _, requests_before = standing(house)
    model.go.clear()
    streams = [Stream(house.port, far_key).until(b" there") for _ in range(3)]
    sent = len(model.seen)

    with proxied.away(silently=way == "silent"):
        refused = [ask(house.port, far_key) for _ in range(3)]
        ready = readiness(house)
        model.go.set()
        whole = [stream.rest() for stream in streams]
        assert eventually(lambda: len(house.records()) == known + 7)
        # three to be settled, and three to be given back in case they were held after all
        assert eventually(lambda: house.metric("joulegate_ledger_unsettled") == 6)

    assert [answer.status for answer in refused] == [503] * 3
    assert {answer.error["code"] for answer in refused} == {"ledger_unavailable"}
    assert {answer.headers["retry-after"] for answer in refused} == {"1"}
    assert len(model.seen) == sent
    assert ready == 503
    assert whole == [True] * 3
    assert all(stream.data.endswith(b"data: [DONE]\n\n") for stream in streams)
    new = house.records()[known + 1 :]
    assert sorted(record["outcome"] for record in new) == ["served"] * 3 + ["unavailable"] * 3
    assert {a["ledger"] for record in new for a in record["attempts"]} == {"unsettled"}
    waited_ms = [record["duration_ms"] for record in new if record["outcome"] == "unavailable"]
    assert max(waited_ms) < 10 * DEADLINE_S * 1_000  # however busy this machine is
    assert eventually(lambda: readiness(house) == 200 and standing(house)[1] == 0)
    assert eventually(lambda: house.metric("joulegate_ledger_unsettled") == 0)
    assert standing(house) == (spent_before + rated(new), 0, requests_before + 3)
    assert ask(house.port, far_key).status == 200
    assert eventually(lambda: len(house.records()) == known + 8)


def test_a_reply_of_redis_that_is_lost_charges_once(far: tuple[Gateway, Proxied], far_key: str) -> None:
    house, proxied = far
    assert eventually(lambda: ask(house.port, far_key).status == 200)
    assert eventually(lambda: standing(house)[1] == 0 and len(house.records()) > 0)
    spent_before, _, requests_before = standing(house)

    lost = 0
    for _ in range(25):
        proxied.proxy.drop_reply_once = True
        assert ask(house.port, far_key).status == 200  # sent again within the deadline
        lost += not proxied.proxy.drop_reply_once

    assert lost >= 10
    proxied.proxy.drop_reply_once = False
    assert eventually(lambda: standing(house)[1] == 0)
    assert standing(house) == (spent_before + 25 * USD_NANOS, 0, requests_before + 25)


def readiness(house: Gateway) -> int:
    try:
        return int(urllib.request.urlopen(house.admin_url + "/readyz", timeout=10).status)
    except urllib.error.HTTPError as refused:
        return refused.code


def test_a_full_disk_refuses_only_when_memory_is_full_and_loses_no_record(tmp_path: Path, model: Upstream) -> None:
    with gateway(a_config(tmp_path, model)) as house:
        key = house.key()
        assert ask(house.port, key).status == 200
        assert eventually(lambda: len(house.records()) == 1)
        _, hard = resource.prlimit(house.pid, resource.RLIMIT_FSIZE)
        room = int(house.metric("joulegate_records_waiting_max"))

        resource.prlimit(house.pid, resource.RLIMIT_FSIZE, (1, hard))  # every file it writes is full; its Valkey's not
        served_on_full_disk = ask(house.port, key).status
        ended = burst(house.port, key, room - 1)
        assert eventually(lambda: house.metric("joulegate_records_waiting") >= room)
        refused = ask(house.port, key)
        ready = readiness(house)
        resource.prlimit(house.pid, resource.RLIMIT_FSIZE, (hard, hard))

        assert served_on_full_disk == 200
        assert ended == {b"400": room - 1}
        assert (refused.status, refused.headers["retry-after"]) == (503, "5")
        assert ready == 503
        assert eventually(lambda: house.metric("joulegate_records_waiting") == 0)
        assert readiness(house) == 200
        assert ask(house.port, key).status == 200
        assert eventually(lambda: len(house.records()) == room + 3)
        assert house.metric("joulegate_records_lost_total") == 0
        outcomes = [record["outcome"] for record in house.records()]
        assert (outcomes.count("invalid"), outcomes.count("served"), outcomes.count("unavailable")) == (room - 1, 3, 1)


def burst(port: int, key: str, count: int) -> dict[bytes, int]:
    """So many requests that are refused early (no messages), on one connection; how often each status came."""
    body = json.dumps(a_chat() | {"messages": []}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n"
    one = f"{head}content-length: {len(body)}\r\n\r\n".encode() + body
    seen: dict[bytes, int] = {}
    with contextlib.closing(socket.create_connection(("127.0.0.1", port), timeout=30)) as connection:
        for start in range(0, count, 64):
            many = min(64, count - start)
            connection.sendall(one * many)
            data = b""
            while data.count(b"HTTP/1.1 ") < many or not data.endswith(b"}"):
                data += connection.recv(65_536)
            for answer in data.split(b"HTTP/1.1 ")[1:]:
                seen[answer[:3]] = seen.get(answer[:3], 0) + 1
    return seen

"""How a running gateway ends and how its rules change: signals, drains and reloads, with real processes."""

from __future__ import annotations

import http.client
import json
import os
import signal
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.support.callers import Stream, a_chat, ask, eventually, is_open
from tests.support.gateway import Gateway, Served, gateway, joulegate, write_config
from tests.support.upstream import Upstream, upstream

POLICY = """
models:
  - {name: chat, members: [MEMBERS]}
budgets:
  - {name: team-day, scope: {team: support}, limit_usd: "5.00", window: day}
"""
# demo/swift: $2 and $8 a million; the upstream always reports 10 and 5 tokens
USD_NANOS = 10 * 2_000 + 5 * 8_000


@pytest.fixture(scope="module")
def model() -> Iterator[Upstream]:
    with upstream() as running:
        yield running


@pytest.fixture(autouse=True)
def _unpaused(model: Upstream) -> Iterator[None]:
    model.go.set()
    yield
    model.go.set()


def a_config(directory: Path, model: Upstream, **extra: Any) -> Path:
    served = [Served("swift", model.url, profile="demo/swift")]
    return write_config(directory, served, policy=POLICY, extra={"drain_seconds": 5, **extra})


def readiness(house: Gateway) -> int:
    try:
        return int(urllib.request.urlopen(house.admin_url + "/readyz", timeout=5).status)
    except urllib.error.HTTPError as refused:
        return refused.code


def budget(config: Path) -> tuple[int, int]:
    """Spent and held nano-dollars as an operator sees them, also when no gateway runs."""
    (row,) = json.loads(joulegate("budgets", "list", "--config", str(config), "--json"))
    return int(Decimal(row["spent"]) * 10**9), int(Decimal(row["held"]) * 10**9)


def exit_code(house: Gateway) -> int:
    assert house.process is not None
    return house.process.wait(20)


def test_sigterm_stops_accepting_at_once_and_lets_a_running_stream_end(tmp_path: Path, model: Upstream) -> None:
    with gateway(a_config(tmp_path, model, drain_seconds=60)) as house:
        key = house.key()
        pooled = http.client.HTTPConnection("127.0.0.1", house.port, timeout=10)
        pooled.request("GET", "/v1/models", headers={"authorization": f"Bearer {key}"})
        assert pooled.getresponse().read()
        ready_before = readiness(house)
        model.go.clear()
        stream = Stream(house.port, key).until(b" there")

        os.kill(house.pid, signal.SIGTERM)

        assert ready_before == 200
        assert eventually(lambda: readiness(house) == 503)
        assert eventually(lambda: not is_open(house.port))
        assert pooled.sock.recv(1) == b""  # an idle connection is closed, so that its client dials somebody else
        model.go.set()
        assert stream.rest()
        assert stream.data.endswith(b"data: [DONE]\n\n")
        assert exit_code(house) == 0
    (record,) = house.records()
    assert (record["outcome"], record["attempts"][0]["ledger"]) == ("served", "settled")
    assert record["rated"]["usd_nanos"] == USD_NANOS
    assert budget(house.config) == (USD_NANOS, 0)


@pytest.mark.parametrize(("drain_seconds", "signals", "code"), [(1, 1, 0), (300, 2, 1)])
def test_what_outlives_the_drain_is_broken_off_without_an_added_event_and_charged(
    tmp_path: Path, model: Upstream, drain_seconds: int, signals: int, code: int
) -> None:
    with gateway(a_config(tmp_path, model, drain_seconds=drain_seconds)) as house:
        key, answers = house.key(), []
        model.go.clear()
        stream = Stream(house.port, key).until(b" there").until(b"null}]}\n\n")
        sent = stream.data
        whole = threading.Thread(target=lambda: answers.append(ask(house.port, key)))
        whole.start()
        assert eventually(lambda: model.waiting == 2)

        os.kill(house.pid, signal.SIGTERM)
        if signals == 2:
            assert eventually(lambda: readiness(house) == 503)
            os.kill(house.pid, signal.SIGTERM)

        assert stream.rest() is False  # no last chunk: the client can not take it for a whole answer
        assert stream.data == sent
        whole.join(20)
        assert (answers[0].status, answers[0].headers["retry-after"]) == (503, "1")
        assert exit_code(house) == code
    records = {record["stream"]: record for record in house.records()}
    cut, refused = records[True], records[False]
    assert (cut["outcome"], refused["outcome"], refused["status"]) == ("incomplete", "unavailable", 503)
    assert cut["usage"]["basis"] == "counted"
    assert cut["usage"]["output_tokens"] == 5  # Once upon a time there
    assert cut["attempts"][0]["ledger"] == refused["attempts"][0]["ledger"] == "settled"
    spent, held = budget(house.config)
    assert spent == cut["rated"]["usd_nanos"] + refused["rated"]["usd_nanos"] > 0
    assert held == 0


def test_rules_follow_their_files_and_a_bad_file_leaves_the_old_ones_serving(tmp_path: Path, model: Upstream) -> None:
    config = a_config(tmp_path, model)
    policy = config.parent / "policy.yaml"
    good = policy.read_text()

    def success() -> float:
        return house.metric("joulegate_config_last_reload_success")

    def refusals() -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in house.log.read_text().splitlines()]
        return [line for line in lines if line["event"] == "reload_refused"]

    with gateway(config) as house:
        key = house.key()
        model.go.clear()
        stream = Stream(house.port, key).until(b" there")
        policy.write_text(good.replace("name: chat", "name: talk"))
        assert eventually(lambda: b'"talk"' in ask(house.port, key, path="/v1/models", method="GET").body)
        model.go.set()

        assert stream.rest()  # under the rules it began with
        talk = ask(house.port, key, a_chat(model="talk"))
        assert (talk.status, success()) == (200, 1.0)

        policy.write_text(good.replace("limit_usd", "limit_uds"))
        assert eventually(lambda: success() == 0.0)
        assert ask(house.port, key, a_chat(model="talk")).status == 200
        line = 1 + next(number for number, text in enumerate(good.splitlines()) if "limit_usd" in text)
        assert f"policy.yaml:{line}" in refusals()[-1]["reason"]
        assert "limit_usd" in refusals()[-1]["reason"]  # did you mean

        before = len(refusals())
        os.kill(house.pid, signal.SIGHUP)
        assert eventually(lambda: len(refusals()) > before)

        policy.write_text(good)
        assert eventually(lambda: success() == 1.0)
        assert ask(house.port, key).status == 200
        assert eventually(lambda: len([r for r in house.records() if r["outcome"] == "served"]) == 4)

    served = [record for record in house.records() if record["outcome"] == "served"]
    versions = [record["policy_version"] for record in served]
    assert [record["model"] for record in served] == ["chat", "talk", "talk", "chat"]
    assert versions[0] == versions[3] != versions[1] == versions[2]


def test_of_two_workers_the_figures_are_one_sum_and_a_killed_one_is_replaced(tmp_path: Path, model: Upstream) -> None:
    def served_by() -> set[int]:
        return {int(record["gateway"].rpartition("-")[2]) for record in house.records()}  # it is named by its pid

    def serve_until(done: Callable[[], bool]) -> bool:
        return eventually(lambda: ask(house.port, key).status == 200 and done())

    with gateway(a_config(tmp_path, model), "--workers", "2") as house:
        key = house.key()
        assert serve_until(lambda: len(served_by()) == 2)
        assert eventually(lambda: sums_of_records(house) == sums_of_metrics(house))
        first = served_by()

        os.kill(min(first), signal.SIGKILL)

        assert eventually(lambda: not Path(f"/proc/{min(first)}").exists())
        assert serve_until(lambda: len(served_by()) == 3)
        assert eventually(lambda: sums_of_records(house) == sums_of_metrics(house))
        assert sums_of_records(house)[0] > 3
        os.kill(house.pid, signal.SIGTERM)
        assert exit_code(house) == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in served_by())
    assert budget(house.config) == (sums_of_records(house)[1], 0)


def sums_of_records(house: Gateway) -> tuple[int, int]:
    """Requests, and rated nano-dollars."""
    records = house.records()
    return len(records), sum(record["rated"]["usd_nanos"] for record in records)


def sums_of_metrics(house: Gateway) -> tuple[int, int]:
    requests = house.metric("joulegate_requests_total", outcome="served")
    return int(requests), round(house.metric("joulegate_cost_usd_total") * 1e9)

"""The whole gateway under traffic, scraped by a real Prometheus: every panel of the dashboard has data."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from tests.support.dashboards import every_panel_has_data, read_dashboard
from tests.support.gateway import Gateway, Served, gateway, write_config
from tests.support.prometheus import Prometheus, prometheus, promtool
from tests.support.simulated import simulated

POLICY = """
schema: joulegate.policy/1
classes:
  interactive: {ttft_ms: 2000, target: 0.99}
models:
  - {name: chat, members: [MEMBERS], class: interactive, objective: cost}
budgets:
  - {name: day, scope: {team: support}, limit_usd: "5.00", limit_wh: 500, limit_tokens: 1000000, window: day}
  - {name: nothing, scope: {team: broke}, limit_usd: "0.000000001", window: day}
"""
QUICK = {"ttft_base_ms": 5, "ttft_per_1k_input_ms": 1, "tpot_base_ms": 1, "tpot_per_active_ms": 0}
CANARY = "CANARY7f3a"
ROUNDS, REQUESTS_A_ROUND = 3, 8
BUILD = "count_over_time(joulegate_build_info[10m])"


def ask(served: Gateway, key: str, n: int) -> int:
    """One request, streamed or not; its status."""
    body = {
        "model": "chat",
        "stream": n % 2 == 0,
        "max_tokens": 12,
        "messages": [{"role": "user", "content": f"{CANARY} {n}"}],
    }
    request = urllib.request.Request(
        served.url + "/chat/completions",
        data=json.dumps(body).encode(),
        headers={
            "content-type": "application/json",
            "authorization": f"Bearer {key}",
            "x-joulegate-session": f"s{n // 3}",
        },
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            answer.read()
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.read()
        return error.code


@dataclass(frozen=True)
class Watched:
    """A gateway after traffic, the Prometheus that watched it, each request's status, and the keys that were used."""

    gateway: Gateway
    prometheus: Prometheus
    statuses: list[int]
    keys: tuple[str, ...]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Traffic in rounds with a scrape between them, so that rates have something to rise from."""
    directory = tmp_path_factory.mktemp("whole")
    with (
        simulated("cheap", directory, **QUICK) as cheap,
        simulated("dear", directory, **QUICK) as dear,
        gateway(
            write_config(
                directory / "gateway",
                [Served("cheap", cheap.url, "demo/thrifty"), Served("dear", dear.url, "demo/swift")],
                policy=POLICY,
            )
        ) as served,
        prometheus(directory / "prometheus", [f"127.0.0.1:{served.admin_port}"]) as server,
        ThreadPoolExecutor(REQUESTS_A_ROUND) as crowd,
    ):
        key, poor_key, statuses = served.key(), served.key(team="broke"), []
        for turn in range(ROUNDS):
            numbers = range(turn * REQUESTS_A_ROUND, (turn + 1) * REQUESTS_A_ROUND)
            statuses += crowd.map(lambda n: ask(served, key, n), numbers)
            statuses.append(ask(served, poor_key, turn))
            before = server.query(BUILD)
            seen = before[0].values[0] if before else 0.0
            server.wait_for(BUILD, lambda now, seen=seen: now > seen + 1)
        yield Watched(served, server, statuses, (key, poor_key))


@pytest.mark.prometheus
@pytest.mark.slow
def test_every_panel_has_data_after_real_traffic(watched: Watched) -> None:
    every_panel_has_data(watched.prometheus, read_dashboard(), rate_interval="30s")

    assert watched.statuses.count(200) == ROUNDS * REQUESTS_A_ROUND
    assert watched.statuses.count(402) == ROUNDS


@pytest.mark.prometheus
@pytest.mark.slow
def test_prometheus_holds_what_the_records_say(watched: Watched) -> None:
    server = watched.prometheus
    nanos = sum(record["rated"]["usd_nanos"] for record in watched.gateway.records() if record["rated"])

    server.wait_for("sum(joulegate_cost_usd_total) * 1e9", lambda value: round(value) == nanos)
    server.wait_for('joulegate_budget_spent_usd{budget="day"} * 1e9', lambda value: round(value) == nanos)


@pytest.mark.prometheus
@pytest.mark.slow
def test_promtool_has_nothing_to_say_of_the_whole_gateway(watched: Watched) -> None:
    done = promtool("check", "metrics", stdin=watched.gateway.metrics().encode())

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.prometheus
@pytest.mark.slow
def test_no_prompt_and_no_key_is_in_metrics_log_or_records(watched: Watched) -> None:
    served = watched.gateway
    written = [path.read_bytes() for path in (served.config.parent / "data" / "records").rglob("*.jsonl")]

    for told in (served.metrics(), served.log.read_text(), b"".join(written).decode()):
        assert not [secret for secret in (CANARY, *watched.keys) if secret in told]

"""`joulegate serve` as its operator sees it: ready line, signals, drain, reload, one owner per data directory."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.gateway import Gateway, Served, gateway, write_config
from tests.support.processes import running
from tests.support.simulated import Simulated, simulated

SLOW_STREAM = {"stream": True, "max_tokens": 60}


def until(holds: Callable[[], bool], seconds: float = 10.0) -> bool:
    """Whether it came to hold in time."""
    end = time.monotonic() + seconds
    while not (found := holds()) and time.monotonic() < end:
        time.sleep(0.02)
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def ask(house: Gateway, key: str, **extra: object) -> tuple[int, bytes]:
    body = json.dumps({"model": "chat", "messages": [{"role": "user", "content": "Hi"}], **extra}).encode()
    request = urllib.request.Request(house.url + "/chat/completions", body, {"authorization": f"Bearer {key}"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read()


def readiness(house: Gateway) -> int:
    try:
        return int(urllib.request.urlopen(house.admin_url + "/readyz", timeout=5).status)
    except urllib.error.HTTPError as refused:
        return refused.code


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulated]:
    with simulated("sim", tmp_path_factory.mktemp("sim"), ttft_base_ms=10, tpot_base_ms=40) as served:
        yield served


@pytest.fixture
def config(tmp_path: Path, backend: Simulated) -> Path:
    return write_config(tmp_path, [Served("sim", backend.url)])


def test_sigterm_finishes_streams_refuses_new_ones_and_leaves_with_zero(config: Path) -> None:
    with running(["-m", "gateway", "serve", "--config", str(config)], log=config.parent / "gateway.log") as (
        process,
        ready,
    ):
        house = Gateway(config, process.pid, ready["port"], ready["admin_port"], config.parent / "gateway.log")
        key, answers = house.key(), []
        talking = threading.Thread(target=lambda: answers.append(ask(house, key, **SLOW_STREAM)))
        talking.start()
        assert until(lambda: house.metric("joulegate_active_streams") == 1)

        process.send_signal(signal.SIGTERM)
        not_ready = until(lambda: readiness(house) == 503, 1.0)
        closed = until(lambda: refuses_connections(house.port), 1.0)
        talking.join(20)

        assert (not_ready, closed) == (True, True)
        assert answers[0][0] == 200
        assert answers[0][1].rstrip().endswith(b"data: [DONE]")
        assert process.wait(20) == 0
    (record,) = house.records()
    assert record["outcome"] == "served"
    assert record["rated"]["usd_nanos"] > 0


def refuses_connections(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.connect()
    except OSError:
        return True
    finally:
        connection.close()
    return False


def test_a_second_sigterm_waits_for_nobody_and_the_cut_stream_is_still_charged(config: Path) -> None:
    with running(["-m", "gateway", "serve", "--config", str(config)], log=config.parent / "gateway.log") as (
        process,
        ready,
    ):
        house = Gateway(config, process.pid, ready["port"], ready["admin_port"], config.parent / "gateway.log")
        key = house.key()
        talking = threading.Thread(target=lambda: cut_short(house, key))
        talking.start()
        assert until(lambda: house.metric("joulegate_active_streams") == 1)

        process.send_signal(signal.SIGTERM)
        assert until(lambda: readiness(house) == 503, 2.0)
        process.send_signal(signal.SIGTERM)
        code = process.wait(10)
        talking.join(10)

    assert code == 1
    (record,) = house.records()
    assert record["attempts"][0]["rated"]["usd_nanos"] > 0


def cut_short(house: Gateway, key: str) -> None:
    """A stream that would take 20 seconds; its end is not looked at."""
    try:
        ask(house, key, stream=True, max_tokens=500)
    except (OSError, http.client.HTTPException):
        return


def test_a_bad_file_leaves_the_old_rules_serving_and_a_good_one_takes_over(config: Path) -> None:
    policy = config.parent / "policy.yaml"
    with gateway(config) as house:
        before = house.admin("/admin/v1/policies")["version"]

        policy.write_text("models: [")
        os.kill(house.pid, signal.SIGHUP)
        refused = until(lambda: house.metric("joulegate_config_last_reload_success") == 0)
        still = house.admin("/admin/v1/policies")["version"]
        policy.write_text("models:\n  - {name: chat, members: [sim/chat]}\n  - {name: talk, members: [sim/chat]}\n")
        os.kill(house.pid, signal.SIGHUP)
        taken = until(lambda: "talk" in house.admin("/admin/v1/policies")["models"])

        assert (refused, still, taken) == (True, before, True)
        assert house.metric("joulegate_config_last_reload_success") == 1


def test_the_embedded_store_ends_with_the_gateway_and_its_keys_are_there_again(config: Path) -> None:
    with gateway(config) as house:
        key = house.key()
        assert ask(house, key)[0] == 200

    with gateway(config) as house:
        assert ask(house, key)[0] == 200


def test_a_second_gateway_on_the_same_data_is_refused_in_words(config: Path) -> None:
    with gateway(config):
        second = subprocess.run(
            [sys.executable, "-m", "gateway", "serve", "--config", str(config)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    assert second.returncode == 1
    assert "is in use by the gateway with pid" in second.stderr
    assert "Traceback" not in second.stderr


@pytest.mark.slow
def test_workers_share_a_port_and_a_budget_and_one_that_dies_comes_back_with_nothing_lost(
    tmp_path: Path, backend: Simulated
) -> None:
    config = write_config(tmp_path, [Served("sim", backend.url)], extra={"workers": 2})
    with running(["-m", "gateway", "serve", "--config", str(config)], log=tmp_path / "gateway.log") as (
        process,
        ready,
    ):
        house = Gateway(config, process.pid, ready["port"], ready["admin_port"], tmp_path / "gateway.log")
        key = house.key()
        assert [ask(house, key, max_tokens=2)[0] for _ in range(8)] == [200] * 8
        assert until(lambda: house.metric("joulegate_requests_total", outcome="served") == 8)
        assert until(lambda: len(house.records()) == 8)  # a killed process may lose its last tenth of a second

        os.kill(ready["workers"][0], signal.SIGKILL)
        back = until(lambda: house.log.read_text().count('"event":"ready"') >= 4, 30)  # two workers, us, the new one

        assert back
        assert [ask(house, key, max_tokens=2)[0] for _ in range(4)] == [200] * 4
        assert until(lambda: house.metric("joulegate_requests_total", outcome="served") == 12)
        assert house.admin("/admin/v1/overview")["backends"][0]["name"] == "sim"
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert not any(alive(pid) for pid in ready["workers"])
    assert len(house.records()) == 12

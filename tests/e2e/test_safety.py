"""What a gateway never does, whatever comes from either side; and what it refuses at the door."""

from __future__ import annotations

import contextlib
import json
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.support.callers import Answer, Stream, a_chat, ask, eventually
from tests.support.gateway import ADMIN_TOKEN, Gateway, Served, gateway, write_config
from tests.support.processes import CHECKOUT
from tests.support.upstream import Upstream, upstream

BACKEND_KEY = "sk-upstream-quartz-0123456789abcdef0123456789"
PROMPT = "prompt-canary-marmalade"
SPOKEN = "answer-canary-tangerine"
POLICY = """
models:
  - {name: chat, members: [swift/chat]}
  - {name: failing, members: [failing/chat]}
  - {name: locked, members: [locked/chat]}
  - {name: moved, members: [moved/chat]}
budgets:
  - {name: pennies, scope: {team: spent}, limit_usd: "0.000001", window: total}
limits:
  - {name: slow, scope: {team: slow}, requests_per_minute: 2}
  - {name: narrow, scope: {team: narrow}, concurrent: 1}
"""
BODY_BYTES = 1_200_000
# Loaded by Python at its start: tells each connect, and each name that is looked up, of the process it is loaded into.
WATCH = """
import os, sys
if os.environ.get("CONNECTS"):
    told = os.open(os.environ["CONNECTS"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    def hear(event, args):
        if event == "socket.connect":
            os.write(told, f"connect {args[1]!r}\\n".encode())
        elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
            os.write(told, f"lookup {args[0]!r}\\n".encode())
    sys.addaudithook(hear)
"""


@pytest.fixture(scope="module")
def models() -> Iterator[dict[str, Upstream]]:
    """A model server that serves, and three that do not: each has a breaker of its own."""
    with contextlib.ExitStack() as stack:
        running = {name: stack.enter_context(upstream()) for name in ("swift", "failing", "locked", "moved")}
        for name, status in (("failing", 500), ("locked", 401), ("moved", 307)):
            running[name].status = status
        for each in running.values():
            each.words = ("Once", " upon", f" {SPOKEN}")
            each.headers = {"set-cookie": "upstream=1", "x-upstream-secret": BACKEND_KEY, "server": "secret-server"}
        yield running


@pytest.fixture(scope="module")
def model(models: dict[str, Upstream]) -> Upstream:
    return models["swift"]


@pytest.fixture(autouse=True)
def _unpaused(model: Upstream) -> Iterator[None]:
    yield
    model.go.set()


@pytest.fixture(scope="module")
def connects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("watch") / "connects"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, models: dict[str, Upstream], connects: Path) -> Iterator[Gateway]:
    (connects.parent / "sitecustomize.py").write_text(WATCH)
    dead = f"http://127.0.0.1:{nobodys_port()}"
    proxies = dict.fromkeys(("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY"), dead)
    extra = {"api_key": BACKEND_KEY}
    served = [Served(name, each.url, profile="demo/swift", extra=extra) for name, each in models.items()]
    limits = {"body_bytes": BODY_BYTES, "json_depth": 16, "messages": 20}
    config = write_config(
        tmp_path_factory.mktemp("gateway"), served, policy=POLICY, extra={"limits": limits, "drain_seconds": 5}
    )
    env = {**proxies, "CONNECTS": str(connects), "PYTHONPATH": f"{connects.parent}:{CHECKOUT}"}
    with gateway(config, env=env) as running:
        yield running


@pytest.fixture(scope="module")
def keys(house: Gateway) -> dict[str, str]:
    return {team: a_key(house, team) for team in ("support", "spent", "slow", "narrow")}


@pytest.fixture(scope="module")
def key(keys: dict[str, str]) -> str:
    return keys["support"]


def nobodys_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def admin(house: Gateway, path: str, body: dict[str, Any] | None = None, token: str | None = ADMIN_TOKEN) -> Answer:
    return ask(house.admin_port, token, body, path=path, method="GET" if body is None else "POST")


def a_key(house: Gateway, team: str) -> str:
    """Made over the admin port, which is a caller's way to a key as well."""
    return str(json.loads(admin(house, "/admin/v1/keys", {"team": team}).body)["key"])


def everything_written(house: Gateway) -> bytes:
    """Logs, records, the embedded Valkey's file, and whatever else lies in the data directory."""
    files = [house.log, *(path for path in (house.config.parent / "data").rglob("*") if path.is_file())]
    return b"".join(path.read_bytes() for path in files)


def everything_told(house: Gateway) -> bytes:
    """Every answer of the admin port that needs no body, metrics and the page included."""
    request_id = house.records()[0]["request_id"]
    names = ("overview", "keys", "teams", "budgets", "usage", "policies", "backends", f"decisions/{request_id}")
    paths = ["/", "/metrics", "/readyz", "/livez", *(f"/admin/v1/{name}" for name in names)]
    answers = [admin(house, path) for path in paths]
    assert {answer.status for answer in answers} == {200}
    return b"".join(answer.body + repr(answer.headers).encode() for answer in answers)


def test_keys_prompts_and_answers_are_told_nowhere(house: Gateway, key: str) -> None:
    wrong_key = "jgk_wrong-canary-rhubarb-0123456789"
    talk = a_chat(PROMPT, user=PROMPT, metadata={"note": PROMPT})
    answers = [
        ask(house.port, key, talk),
        ask(house.port, key, talk | {"model": PROMPT}),
        ask(house.port, key, talk | {"max_tokens": PROMPT}),
        ask(house.port, key, json.dumps(talk).encode()[:-1]),  # cut: no JSON any more
        ask(house.port, wrong_key, talk),
        ask(house.port, key, talk, headers={"x-request-id": "fine", "cookie": PROMPT, "user-agent": PROMPT}),
    ]
    stream = Stream(house.port, key, talk)
    assert stream.rest()
    answers += [ask(house.port, key, talk | {"model": name}) for name in ("failing", "locked")]
    assert [answer.status for answer in answers] == [200, 404, 400, 400, 401, 200, 502, 502]
    assert eventually(lambda: len(house.records()) == 8)

    written, told = everything_written(house), everything_told(house)
    came_down = (
        b"".join(a.body + repr(a.headers).encode() for a in answers) + stream.data + repr(stream.headers).encode()
    )

    for secret in (key, wrong_key, BACKEND_KEY, PROMPT, SPOKEN, ADMIN_TOKEN):
        assert secret.encode() not in written, secret
        assert secret.encode() not in told, secret
    for secret in (key, wrong_key, BACKEND_KEY):
        assert secret.encode() not in came_down
    for refused in answers[2:5] + answers[6:]:
        assert SPOKEN.encode() not in refused.body
        assert PROMPT.encode() not in refused.body
    for answer in (answers[0], *answers[5:]):
        assert not {"set-cookie", "x-upstream-secret", "server"} & answer.headers.keys()


def test_the_callers_key_and_headers_never_go_up(house: Gateway, key: str, model: Upstream) -> None:
    known = len(model.seen)

    answer = ask(
        house.port,
        key,
        headers={
            "cookie": "session=1",
            "x-forwarded-for": "10.0.0.1",
            "x-joulegate-tags": "a=b",
            "x-evil": "1",
            "openai-organization": "org-of-the-caller",
        },
    )

    assert answer.status == 200
    (seen,) = model.seen[known:]
    assert key not in seen.raw_head
    assert seen.headers["authorization"] == f"Bearer {BACKEND_KEY}"
    ours = "host authorization content-type content-length accept accept-encoding user-agent x-request-id"
    assert set(seen.headers) == set(ours.split())


def test_a_redirect_of_an_upstream_is_not_followed_and_not_passed_on(
    house: Gateway, key: str, models: dict[str, Upstream]
) -> None:
    with upstream() as elsewhere:
        models["moved"].headers["location"] = elsewhere.url + "/chat/completions"

        answer = ask(house.port, key, a_chat(model="moved"))

        assert answer.status == 502
        assert "location" not in answer.headers
        assert str(elsewhere.port) not in answer.body.decode()
        assert elsewhere.seen == []


def test_nothing_is_connected_to_but_what_is_configured_and_no_environment_proxy_is_used(
    house: Gateway, key: str, models: dict[str, Upstream], connects: Path
) -> None:
    assert ask(house.port, key).status == 200  # though HTTP_PROXY points to a port where nobody listens

    backends = {("127.0.0.1", each.port) for each in models.values()}
    assert ("127.0.0.1", models["swift"].port) in far_ends(house) <= backends
    heard = {line for line in connects.read_text().splitlines() if "/valkey.sock'" not in line}
    assert heard <= {f"connect {peer!r}" for peer in backends} | {"lookup '127.0.0.1'", "lookup None"}


def far_ends(house: Gateway) -> set[tuple[str, int]]:
    """Where a gateway's own connections lead, from the kernel's tables: of what libuv connects no audit hook hears."""
    inodes = set()
    for descriptor in Path(f"/proc/{house.pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            inodes.add(str(descriptor.readlink()).removeprefix("socket:[").removesuffix("]"))
    found = set()
    tables = {"tcp": socket.AF_INET, "udp": socket.AF_INET, "tcp6": socket.AF_INET6, "udp6": socket.AF_INET6}
    for table, family in tables.items():
        for line in Path(f"/proc/{house.pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            near, far = (end.split(":") for end in fields[1:3])
            ours = int(near[1], 16) in (house.port, house.admin_port)
            if fields[9] in inodes and int(far[1], 16) and not ours:
                words = [bytes.fromhex(far[0][at : at + 8])[::-1] for at in range(0, len(far[0]), 8)]
                found.add((socket.inet_ntop(family, b"".join(words)), int(far[1], 16)))
    return found


def nested(depth: int) -> bytes:
    return json.dumps(a_chat()).encode()[:-1] + b', "metadata": ' + b"[" * depth + b"]" * depth + b"}"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b'{"model": "chat", "pad": "' + b"x" * BODY_BYTES + b'"}', 413, "request_too_large"),
        (nested(17), 400, "json_too_deep"),
        (nested(100_000), 400, "json_too_deep"),
        (
            json.dumps(a_chat() | {"messages": [{"role": "user", "content": "x"}] * 21}).encode(),
            400,
            "invalid_value",
        ),
        (json.dumps(a_chat(n=1_000)).encode(), 400, "invalid_value"),
        (b'{"model": "chat", "messages": [', 400, "invalid_json"),
        (b"\xff\xfe", 400, "invalid_json"),
        (b"[]", 400, "invalid_json"),
    ],
    ids=["large", "deep", "deepest", "messages", "choices", "cut", "binary", "array"],
)
def test_what_is_too_much_is_refused_before_a_backend_sees_it(
    house: Gateway, key: str, model: Upstream, body: bytes, status: int, code: str
) -> None:
    known = len(model.seen)

    answer = ask(house.port, key, body)

    assert (answer.status, answer.error["type"]) == (status, "invalid_request_error")
    assert answer.error["message"]
    assert answer.error["code"] == code
    assert len(model.seen) == known


def test_an_unknown_model_is_answered_with_those_that_are_served(house: Gateway, key: str) -> None:
    answer = ask(house.port, key, a_chat(model="chad"))

    assert (answer.status, answer.error["code"], answer.error["param"]) == (404, "model_not_found", "model")
    assert "Served here: chat, failing, locked, moved." in answer.error["message"]


def test_without_a_valid_key_there_is_a_401_and_no_record(house: Gateway, key: str) -> None:
    assert ask(house.port, key).status == 200
    assert eventually(lambda: house.metric("joulegate_records_waiting") == 0)
    refused = house.metric("joulegate_denials_total")

    answers = [ask(house.port, presented) for presented in (None, "jgk_unknown", "x" * 5_000)]

    assert [answer.status for answer in answers] == [401] * 3
    assert {answer.error["code"] for answer in answers} == {"invalid_api_key"}
    assert {answer.headers["www-authenticate"] for answer in answers} == {"Bearer"}
    assert house.metric("joulegate_denials_total") == refused + 3
    ids = {answer.headers["x-request-id"] for answer in answers}
    assert ask(house.port, key).status == 200  # its record is written after any of theirs would be
    assert eventually(lambda: house.metric("joulegate_records_waiting") == 0)
    assert not ids & {record["request_id"] for record in house.records()}


@pytest.mark.parametrize("token", [None, "", "wrong", ADMIN_TOKEN + "x"])
def test_operators_things_need_the_admin_token_and_a_callers_key_is_none(
    house: Gateway, key: str, token: str | None
) -> None:
    for presented in (token, key):
        assert admin(house, "/admin/v1/keys", token=presented).status == 401
        assert admin(house, "/admin/v1/keys", {"team": "x"}, token=presented).status == 401


@pytest.mark.parametrize("token", [None, "short"])
def test_without_an_admin_token_worth_the_name_it_does_not_start(
    tmp_path: Path, model: Upstream, token: str | None
) -> None:
    config = write_config(tmp_path, [Served("swift", model.url, profile="demo/swift")])
    settings = json.loads(config.read_text())
    settings["admin"] = {"port": 0} if token is None else {"port": 0, "token": token}
    config.write_text(json.dumps(settings, indent=1))

    done = subprocess.run(
        [sys.executable, "-m", "gateway", "serve", "--config", str(config)],
        capture_output=True, text=True, timeout=60, check=False, cwd=CHECKOUT,
    )  # fmt: skip

    assert done.returncode == 1
    assert "admin" in done.stderr
    assert "token" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_limit_on_requests_at_once_answers_429_and_frees_its_place(
    house: Gateway, keys: dict[str, str], model: Upstream
) -> None:
    model.go.clear()
    running = Stream(house.port, keys["narrow"])

    refused = ask(house.port, keys["narrow"])
    model.go.set()

    assert running.rest()
    assert (refused.status, refused.error["code"], refused.error["param"]) == (429, "rate_limit_exceeded", "narrow")
    assert refused.headers["retry-after"] == "1"
    assert eventually(lambda: ask(house.port, keys["narrow"]).status == 200)


def test_a_limit_per_minute_answers_429_and_says_how_much_is_left_and_until_when(
    house: Gateway, keys: dict[str, str]
) -> None:
    answers: list[Answer] = []
    while not answers or (answers[-1].status != 429 and len(answers) < 5):  # a minute may turn in between
        answers.append(ask(house.port, keys["slow"]))

    served, refused = answers[-2], answers[-1]
    assert (served.status, served.headers["x-ratelimit-remaining-requests"]) == (200, "0")
    assert (refused.status, refused.error["param"]) == (429, "slow")
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert refused.headers["x-ratelimit-limit-requests"] == "2"
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"
    assert refused.headers["x-ratelimit-reset-requests"].endswith("s")


def test_a_spent_budget_is_asked_once_by_the_sdk_and_no_upstream_sees_a_byte(
    house: Gateway, keys: dict[str, str], model: Upstream
) -> None:
    known = len(model.seen)
    client = openai.OpenAI(base_url=house.url, api_key=keys["spent"])  # with its retries on

    with pytest.raises(openai.APIStatusError) as refused:
        client.chat.completions.create(model="chat", messages=[{"role": "user", "content": "Hello."}], max_tokens=20)

    assert refused.value.status_code == 402
    assert refused.value.response.headers["x-should-retry"] == "false"
    assert refused.value.body["param"] == "pennies"  # type: ignore[index]
    assert eventually(lambda: denied(house) == 1)
    assert len(model.seen) == known


def denied(house: Gateway) -> int:
    return sum(record["team"] == "spent" for record in house.records())


def test_a_megabyte_of_one_letter_does_not_delay_others(house: Gateway, key: str) -> None:
    def small() -> float:
        began = time.perf_counter()
        assert ask(house.port, key).status == 200
        return time.perf_counter() - began

    large_ended = threading.Event()
    statuses: list[int] = []

    def large() -> None:
        for shorter_by in range(3):  # another text each time: a message is counted once
            statuses.append(ask(house.port, key, a_chat("a" * (1_000_000 - shorter_by))).status)
        large_ended.set()

    alone = [small() for _ in range(40)]
    talking = threading.Thread(target=large)
    talking.start()
    beside = []
    while not large_ended.is_set() or len(beside) < 20:
        beside.append(small())
    talking.join()

    assert statuses == [200] * 3
    assert statistics.quantiles(beside, n=10)[-1] < 20 * statistics.median(alone)

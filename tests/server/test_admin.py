from __future__ import annotations

import asyncio
import json
import socket

import pytest

from gateway.domain.faults import LedgerUnavailable
from gateway.server.admin import AdminServer
from tests.server.office import NOW_MS, TOKEN, Office, a_desk

ROOT = "/admin/v1"
GUARDED = [
    ("GET", f"{ROOT}/overview"),
    ("GET", f"{ROOT}/keys"),
    ("POST", f"{ROOT}/keys"),
    ("DELETE", f"{ROOT}/keys/k-1"),
    ("GET", f"{ROOT}/teams"),
    ("GET", f"{ROOT}/budgets"),
    ("GET", f"{ROOT}/usage"),
    ("GET", f"{ROOT}/backends"),
    ("GET", f"{ROOT}/policies"),
    ("POST", f"{ROOT}/policies/reload"),
    ("GET", f"{ROOT}/decisions/req-1"),
    ("GET", f"{ROOT}/openapi.json"),
    ("GET", f"{ROOT}/nothing"),
    ("GET", "/nothing"),
]


@pytest.mark.parametrize("token", ["", "short", "fifteen-letters"])
def test_without_a_token_worth_the_name_the_admin_port_does_not_start(token: str) -> None:
    with pytest.raises(ValueError, match="token"):
        AdminServer(token=token, offices=Office().offices, draining=asyncio.Event())


@pytest.mark.parametrize("token", [None, "wrong", TOKEN + "x", TOKEN.upper(), "ключ", ""])
async def test_nothing_of_an_operators_is_shown_or_done_without_the_token(token: str | None) -> None:
    async with a_desk() as desk:
        for method, path in GUARDED:
            status, body, headers = await desk.ask(method, path, token=token)

            assert status == 401, path
            assert json.loads(body)["error"]["code"] == "invalid_api_key"
            assert headers["www-authenticate"] == "Bearer"
        assert desk.office.changes == []
        assert "k-1" in desk.office.keys.identities


async def test_with_the_token_everything_answers() -> None:
    async with a_desk() as desk:
        for method, path in GUARDED[:-2]:
            if method == "GET":
                status, body, _ = await desk.ask(method, path)
                assert status == 200, path
                assert isinstance(json.loads(body), dict)


async def test_a_path_that_is_not_there_is_not_found_in_our_shape() -> None:
    async with a_desk() as desk:
        status, body, _ = await desk.ask("GET", f"{ROOT}/nothing")

        assert status == 404
        assert set(json.loads(body)["error"]) == {"message", "type", "param", "code"}


async def test_the_probes_need_no_token_and_tell_no_configuration() -> None:
    async with a_desk() as desk:
        for path in ("/livez", "/healthz"):
            assert (await desk.ask("GET", path, token=None))[0] == 200
        status, body, _ = await desk.ask("GET", "/readyz", token=None)

        assert status == 200
        assert json.loads(body) == {
            "ready": True,
            "checks": {"store": True, "policies": True, "backend_up": True, "not_draining": True},
        }


@pytest.mark.parametrize("name", ["store", "policies", "backend_up"])
async def test_one_failing_check_makes_the_gateway_unready(name: str) -> None:
    office = Office()
    office.states[name] = False
    async with a_desk(office) as desk:
        status, body, _ = await desk.ask("GET", "/readyz", token=None)

        assert status == 503
        assert json.loads(body)["checks"][name] is False


async def test_a_draining_gateway_is_alive_and_unready() -> None:
    async with a_desk() as desk:
        desk.office.draining.set()

        assert (await desk.ask("GET", "/readyz", token=None))[0] == 503
        assert (await desk.ask("GET", "/livez", token=None))[0] == 200


async def test_metrics_come_in_the_format_that_was_asked_for() -> None:
    async with a_desk() as desk:
        status, body, headers = await desk.ask("GET", "/metrics", token=None, accept="application/openmetrics-text")

        assert status == 200
        assert body == b"# HELP joulegate_up 1\n"
        assert headers["content-type"] == "text/plain; for=application/openmetrics-text"


async def test_a_new_key_is_shown_once_and_audited_without_it() -> None:
    async with a_desk() as desk:
        wanted = b'{"team": "support", "name": "bot 2", "models": ["chat"], "budget_status": 429}'
        status, body, headers = await desk.ask("POST", f"{ROOT}/keys", body=wanted)
        _, listed, _ = await desk.ask("GET", f"{ROOT}/keys")

        made = json.loads(body)
        assert status == 201
        assert headers["cache-control"] == "no-store"
        assert (made["id"], made["key"], made["models"]) == ("k-new", "jg-secret-once", ["chat"])
        assert b"jg-secret" not in listed
        [change] = desk.office.changes
        assert (change.action, change.target, change.outcome, change.at_ms) == ("key.create", "k-new", "done", NOW_MS)
        assert "jg-secret" not in repr(change)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b'{"name": "no team"}', "team"),
        (b'{"team": "a b"}', "team"),
        (b'{"team": "a", "budget_status": 418}', "budget_status"),
        (b'{"team": "a", "colour": "red"}', "colour"),
        (b"not json", "body"),
        (b"", "body"),
    ],
)
async def test_a_key_that_is_described_wrongly_is_not_made(body: bytes, param: str) -> None:
    async with a_desk() as desk:
        status, answer, _ = await desk.ask("POST", f"{ROOT}/keys", body=body)

        assert status == 400
        assert json.loads(answer)["error"]["param"] == param
        assert desk.office.changes == []


async def test_a_revoked_key_is_gone_and_an_unknown_one_was_never_there() -> None:
    async with a_desk() as desk:
        assert (await desk.ask("DELETE", f"{ROOT}/keys/k-1"))[0] == 200
        assert (await desk.ask("DELETE", f"{ROOT}/keys/k-1"))[0] == 404
        assert [change.outcome for change in desk.office.changes] == ["done", "unknown"]


async def test_a_reload_says_which_version_is_in_force() -> None:
    async with a_desk() as desk:
        status, body, _ = await desk.ask("POST", f"{ROOT}/policies/reload")

        assert (status, json.loads(body)) == (200, {"version": "v8"})
        assert desk.office.changes[0].target == "v8"


async def test_a_bad_document_is_refused_with_its_line_and_audited() -> None:
    office = Office()
    office.bad_document = "policies/chat.yaml:7: models.0.clas: unknown key; did you mean class?"
    async with a_desk(office) as desk:
        status, body, _ = await desk.ask("POST", f"{ROOT}/policies/reload")

        assert status == 400
        assert json.loads(body)["error"]["message"].endswith("did you mean class?")
        assert desk.office.changes[0].outcome == "refused"


async def test_a_decision_is_found_by_our_id_and_by_the_callers() -> None:
    async with a_desk() as desk:
        _, ours, _ = await desk.ask("GET", f"{ROOT}/decisions/req-3")
        _, theirs, _ = await desk.ask("GET", f"{ROOT}/decisions/mine-3")
        missing, _, _ = await desk.ask("GET", f"{ROOT}/decisions/req-99")

        assert json.loads(ours)["passed_over"] == {"hosted/llama": "dearer", "gpu-b/llama": "misses_sla"}
        assert ours == theirs
        assert missing == 404


async def test_usage_can_be_asked_of_one_team() -> None:
    async with a_desk() as desk:
        _, body, _ = await desk.ask("GET", f"{ROOT}/usage?team=support")
        refused, _, _ = await desk.ask("GET", f"{ROOT}/usage?team=a%20b")

        assert json.loads(body)["data"] == [{"team": "support", "usd": 1.5}]
        assert refused == 400


async def test_budgets_are_shown_in_dollars() -> None:
    async with a_desk() as desk:
        _, body, _ = await desk.ask("GET", f"{ROOT}/budgets")

        [row] = json.loads(body)["data"]
        assert (row["name"], row["counter"], row["limit"], row["spent"]) == (
            "support-month",
            "team:support",
            {"usd": 1.0},
            {"usd": 0.1},
        )


async def test_a_store_that_is_away_is_503_not_500(monkeypatch: pytest.MonkeyPatch) -> None:
    office = Office()

    async def away() -> list[object]:
        raise LedgerUnavailable

    monkeypatch.setattr(office.keys, "list", away)
    async with a_desk(office) as desk:
        status, body, headers = await desk.ask("GET", f"{ROOT}/keys")

        assert status == 503
        assert json.loads(body)["error"]["code"] == "ledger_unavailable"
        assert headers["retry-after"] == "1"


async def test_a_body_past_the_limit_is_refused() -> None:
    async with a_desk() as desk:
        assert (await desk.ask("POST", f"{ROOT}/keys", body=b"a" * 100_000))[0] == 413


async def test_openapi_describes_every_route_there_is() -> None:
    async with a_desk() as desk:
        _, body, _ = await desk.ask("GET", f"{ROOT}/openapi.json")

        described = {(method.upper(), path) for path, calls in json.loads(body)["paths"].items() for method in calls}
        served = {(route.method, route.path) for route in desk.server.routes()}
        assert described == served - {("GET", "/"), ("GET", f"{ROOT}/openapi.json")}


async def test_the_overview_carries_its_history() -> None:
    async with a_desk() as desk:
        _, body, _ = await desk.ask("GET", f"{ROOT}/overview")

        seen = json.loads(body)
        assert {sample["at_ms"] for sample in seen["history"]} < {NOW_MS + step * 2_000 for step in range(100)}
        assert seen["totals"]["requests"] > 0


async def test_a_bound_socket_serves_as_well() -> None:
    office = Office()
    server = AdminServer(token=TOKEN, offices=office.offices, draining=office.draining)
    sock = socket.create_server(("127.0.0.1", 0))
    try:
        assert await server.start(sock=sock) == sock.getsockname()
    finally:
        await server.close()


async def test_what_a_malformed_request_holds_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with a_desk() as desk:
        host, port = desk.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET / HTTP/1.1\r\nAuthorization : Bearer " + TOKEN.encode() + b"\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.")
        writer.close()

        assert TOKEN not in caplog.text


@pytest.mark.parametrize("path", ["/livez", "/metrics", f"{ROOT}/keys", f"{ROOT}/nothing"])
async def test_no_answer_says_what_we_are_built_with(path: str) -> None:
    async with a_desk() as desk:
        _, _, headers = await desk.ask("GET", path)

        assert "server" not in {name.lower() for name in headers}

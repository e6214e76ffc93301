"""The command line as a script and a person use it: exit codes, sentences, JSON. Each test runs the real command."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from gateway import __version__
from tests.bootstrap.files import ENV, POLICY, SETTINGS, written


def joulegate(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gateway", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **ENV, "COLUMNS": "120", "NO_COLOR": "1"},
    )


def test_version() -> None:
    assert joulegate("--version").stdout == f"joulegate {__version__}\n"


def test_help_teaches_by_example() -> None:
    shown = joulegate("--help").stdout

    assert "joulegate demo" in shown
    assert "joulegate keys create --team support" in shown
    assert "joulegate serve --workers 4" in joulegate("serve", "--help").stdout


def test_a_mistyped_command_is_told_the_nearest_one() -> None:
    done = joulegate("budget")

    assert done.returncode == 2
    assert "budgets" in done.stderr


def test_check_exits_one_with_file_line_and_reason(tmp_path: Path) -> None:
    path = written(tmp_path, policy=POLICY.replace("limit_usd", "limit_us"))

    done = joulegate("check", path)

    assert done.returncode == 1
    fault = f"{tmp_path}/policies/chat.yaml:6: budgets[0].limit_us: unknown key; did you mean 'limit_usd'?"
    assert fault in done.stderr
    assert done.stdout.endswith("1 document, 0 policy cases: 1 fault\n")


def test_check_says_all_good_and_shows_the_budgets(tmp_path: Path) -> None:
    done = joulegate("check", written(tmp_path))

    assert done.returncode == 0, done.stderr
    assert "support-month" in done.stdout
    assert done.stdout.endswith("4 documents, 1 policy case: all good\n")


def test_check_speaks_json_to_scripts(tmp_path: Path) -> None:
    report = json.loads(joulegate("check", "--json", written(tmp_path)).stdout)

    assert report["ok"] is True
    assert report["budgets"][0]["limit"] == "250 usd"


def test_a_key_is_shown_once_listed_without_itself_rotated_and_revoked(tmp_path: Path) -> None:
    config = ("--config", written(tmp_path))

    made = json.loads(joulegate("keys", "create", "--team", "support", "--model", "chat", "--json", *config).stdout)
    listed = joulegate("keys", "list", "--json", *config).stdout
    rotated = joulegate("keys", "rotate", made["id"], *config).stdout.strip()
    revoked = joulegate("keys", "revoke", made["id"], *config)
    gone = joulegate("keys", "revoke", made["id"], *config)

    assert made["key"].startswith("jgk_")
    assert [(row["id"], row["team"], row["models"]) for row in json.loads(listed)] == [(made["id"], "support", "chat")]
    assert made["key"] not in listed
    assert rotated.startswith("jgk_") and rotated != made["key"]
    assert revoked.returncode == 0
    assert gone.returncode == 1
    assert gone.stderr == f"there is no key named '{made['id']}'; `joulegate keys list` shows all\n"
    stored = b"".join(path.read_bytes() for path in (tmp_path / "data" / "valkey").rglob("*.aof"))
    assert made["id"].encode() in stored
    assert made["key"].encode() not in stored


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--team", "a b"), "team 'a b' is not 1 to 64 of A-Z, a-z, 0-9, _ and -"),
        (("--team", "a", "--expose", "secrets"), "--expose secrets: is not one of backend, cost, energy, limits"),
        (("--team", "a", "--budget-status", "200"), "--budget-status 200: is not 402 or 429"),
    ],
)
def test_a_key_that_can_not_be_is_refused_in_words(tmp_path: Path, options: tuple[str, ...], told: str) -> None:
    done = joulegate("keys", "create", *options, "--config", written(tmp_path))

    assert done.returncode == 1
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_budgets_are_listed_in_exact_decimals(tmp_path: Path) -> None:
    rows = json.loads(joulegate("budgets", "list", "--json", "--config", written(tmp_path)).stdout)

    assert [(row["budget"], row["unit"], row["limit"], row["spent"], row["held"]) for row in rows] == [
        ("support-month", "usd", "250", "0", "0")
    ]


def test_profiles_are_listed_shown_and_validated(tmp_path: Path) -> None:
    listed = json.loads(joulegate("profiles", "list", "--json").stdout)
    shown = joulegate("profiles", "show", "demo/swift").stdout
    missing = joulegate("profiles", "show", "demo/swif")
    (tmp_path / "bad.yaml").write_text("schema: joulegate.profile/1\nid: bad\n")
    bad = joulegate("profiles", "validate", tmp_path / "bad.yaml")
    other = joulegate("profiles", "validate", written(tmp_path))
    nowhere = joulegate("profiles", "list", "--dir", tmp_path / "nowhere")

    assert len(listed) >= 20
    assert "id: demo/swift" in shown
    assert missing.stderr == "there is no profile 'demo/swif'; did you mean 'demo/swift'?\n"
    assert bad.returncode == 1
    assert f"{tmp_path}/bad.yaml:1: kind: is required" in bad.stderr
    assert other.returncode == 1
    assert other.stderr == (
        f"{tmp_path}/joulegate.yaml: found settings, expected profile (schema: joulegate.profile/1)\n"
    )
    assert nowhere.returncode == 2
    assert "--dir" in nowhere.stderr


def test_a_missing_configuration_is_told_in_one_line(tmp_path: Path) -> None:
    done = joulegate("serve", "--config", tmp_path / "nowhere.yaml")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"{tmp_path}/nowhere.yaml: there is no such file\n"


def test_a_port_in_use_is_told_with_its_number_and_a_remedy(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        path = written(tmp_path, settings=SETTINGS.replace("port: 0", f"port: {port}", 1))
        done = joulegate("serve", "--config", path)

    assert done.returncode == 1
    assert f"('127.0.0.1', {port}): address already in use; choose another with listen.port" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", [("serve",), ("keys", "list")])
def test_a_data_directory_that_can_not_be_is_told_with_its_path(tmp_path: Path, command: tuple[str, ...]) -> None:
    (tmp_path / "data").write_text("a file stands where the directory should be")

    done = joulegate(*command, "--config", written(tmp_path))

    assert done.returncode == 1
    assert f"{tmp_path}/data" in done.stderr
    assert done.stderr.endswith("; data_dir must be a directory that this user may write to\n")
    assert "Traceback" not in done.stderr


def test_serve_refuses_to_start_without_an_admin_token(tmp_path: Path) -> None:
    path = written(tmp_path, settings=SETTINGS.replace(', token: "${ADMIN_TOKEN}"', ""))

    done = joulegate("serve", "--config", path)

    assert done.returncode == 1
    assert "joulegate.yaml:2: admin.token: is required" in done.stderr


def test_the_schema_is_one_json_document() -> None:
    assert json.loads(joulegate("schema").stdout)["properties"]["backends"]
    assert joulegate("schema", "nonsense").returncode == 1

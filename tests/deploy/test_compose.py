"""`docker compose up` on a fresh machine: everything waits for what it needs, nothing is open to the world."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.bootstrap.settings import read_settings
from grafana.cost import OUTPUT

DEPLOY = Path(__file__).parents[2] / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
SECRETS = {"JOULEGATE_ADMIN_TOKEN": "0" * 64, "JOULEGATE_KEY_PEPPER": "1" * 64}
each_service = pytest.mark.parametrize("name", SERVICES)


def test_the_file_has_the_gateway_its_ledger_prometheus_and_grafana_and_no_version() -> None:
    assert {"gateway", "valkey", "prometheus", "grafana"} <= SERVICES.keys()
    assert "version" not in COMPOSE


@each_service
def test_every_service_has_a_healthcheck_and_a_pinned_image(name: str) -> None:
    service = SERVICES[name]

    assert service["healthcheck"]["test"]
    assert ":" in service["image"]
    assert not service["image"].endswith(":latest")


@each_service
def test_every_service_waits_until_what_it_needs_is_healthy(name: str) -> None:
    for needed, how in SERVICES[name].get("depends_on", {}).items():
        assert needed in SERVICES
        assert how == {"condition": "service_healthy"}


@each_service
def test_ports_are_open_to_this_machine_only(name: str) -> None:
    for port in SERVICES[name].get("ports", ()):
        assert port.startswith("127.0.0.1:")


@each_service
def test_no_service_writes_to_its_root_or_gains_rights(name: str) -> None:
    service = SERVICES[name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


@each_service
def test_mounted_files_exist_and_volumes_are_declared(name: str) -> None:
    for volume in SERVICES[name].get("volumes", ()):
        source = volume.split(":")[0]
        assert (DEPLOY / source).exists() if source.startswith(".") else source in COMPOSE["volumes"]


def test_nobody_but_the_gateway_reaches_the_ledger() -> None:
    assert COMPOSE["networks"]["ledger"] == {"internal": True}
    assert [name for name, service in SERVICES.items() if "ledger" in service["networks"]] == ["gateway", "valkey"]


def test_secrets_are_required_and_named_in_the_example() -> None:
    named = set(re.findall(r"^(\w+)=$", (DEPLOY / "env.example").read_text(), re.MULTILINE))

    required = set(re.findall(r"\$\{(\w+):\?", (DEPLOY / "compose.yaml").read_text()))

    assert required == named == {*SECRETS, "JOULEGATE_GRAFANA_PASSWORD"}


def test_the_ledger_never_evicts_and_survives_a_restart() -> None:
    command = " ".join(SERVICES["valkey"]["command"])

    assert "--maxmemory-policy noeviction" in command
    assert "--appendonly yes" in command


def test_prometheus_scrapes_the_admin_port_at_the_interval_grafana_assumes() -> None:
    prometheus = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())
    source = yaml.safe_load((OUTPUT.parents[1] / "provisioning/datasources/prometheus.yaml").read_text())

    assert prometheus["scrape_configs"][0]["static_configs"] == [{"targets": ["gateway:8081"]}]
    assert prometheus["global"]["scrape_interval"] == source["datasources"][0]["jsonData"]["timeInterval"]


def test_grafana_finds_the_dashboard_where_the_provider_looks() -> None:
    provider = yaml.safe_load((OUTPUT.parents[1] / "provisioning/dashboards/joulegate.yaml").read_text())
    path = provider["providers"][0]["options"]["path"]

    assert f"../grafana/dashboards:{path}:ro" in SERVICES["grafana"]["volumes"]
    assert SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] == f"{path}/{OUTPUT.name}"


def test_backends_of_the_configuration_are_services_that_listen_there() -> None:
    settings = read_settings(DEPLOY / "config/joulegate.yaml", SECRETS).settings

    for backend in settings.backends:
        service = SERVICES[backend.name]
        port = service["entrypoint"][service["entrypoint"].index("--port") + 1]
        assert backend.url == f"http://{backend.name}:{port}/v1"


def test_the_gateway_stops_later_than_it_drains() -> None:
    settings = read_settings(DEPLOY / "config/joulegate.yaml", SECRETS).settings

    assert int(SERVICES["gateway"]["stop_grace_period"].removesuffix("s")) > settings.drain_seconds


def test_the_gateway_accepts_its_configuration_and_its_cases_come_true() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "check", str(DEPLOY / "config/joulegate.yaml")],
        env={**os.environ, **SECRETS},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_simulated_backends_understand_their_options() -> None:
    module = SERVICES["swift"]["entrypoint"][2]
    done = subprocess.run(
        [sys.executable, "-m", module, "--help"], capture_output=True, text=True, timeout=60, check=True
    )

    for name in ("thrifty", "swift"):
        words = [*SERVICES[name]["entrypoint"], *SERVICES[name]["command"]]
        assert all(word in done.stdout for word in words if word.startswith("--"))

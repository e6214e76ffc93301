"""What can be checked of a deployment without an engine: by the linters of each format, offline."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.prometheus import promtool

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


def passes(*command: str) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_hadolint_accepts_the_dockerfile() -> None:
    passes(str(BIN / "hadolint"), "--no-color", "deploy/Dockerfile")


def test_the_compose_file_fits_the_specification() -> None:
    passes(str(BIN / "check-jsonschema"), "--builtin-schema", "vendor.compose-spec", "deploy/compose.yaml")


def test_yamllint_accepts_every_document() -> None:
    passes(str(BIN / "yamllint"), "--strict", "-c", "deploy/.yamllint", "deploy", "grafana/provisioning")


@pytest.mark.prometheus
def test_promtool_accepts_the_configuration_and_its_rules() -> None:
    done = promtool("check", "config", "--lint=all", "--lint-fatal", str(ROOT / "deploy/prometheus/prometheus.yml"))

    assert done.returncode == 0, done.stdout + done.stderr

"""The image holds what the program needs, is locked by hash, and runs without rights."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "deploy/Dockerfile").read_text()
INSTRUCTIONS = DOCKERFILE.replace("\\\n", " ").splitlines()
COPIED = {
    source
    for line in INSTRUCTIONS
    if line.startswith("COPY ") and "--from" not in line
    for source in line.split()[1:-1]
}


def test_what_is_copied_exists_and_is_let_through_by_the_ignore_file() -> None:
    ignored = (ROOT / "deploy/Dockerfile.dockerignore").read_text().splitlines()

    for source in COPIED:
        assert (ROOT / source).exists(), source
        assert f"!{source}" in ignored
    assert "*" in ignored


def test_everything_the_wheel_is_built_from_is_copied() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]

    needed = {"pyproject.toml", project["project"]["readme"], *project["project"]["license-files"]}
    needed |= set(wheel["packages"]) | {source.split("/")[0] for source in wheel["force-include"]}

    assert needed <= COPIED


def test_every_package_is_installed_by_hash_or_from_our_own_wheel() -> None:
    installs = re.findall(r"pip install ([^&]+)", DOCKERFILE.replace("\\\n", " "))

    assert len(installs) == 3
    for arguments in installs:
        assert "--require-hashes" in arguments or "--no-index --no-deps /wheels" in arguments


def test_bases_are_pinned_and_the_process_has_no_rights() -> None:
    bases = [line.split()[1] for line in INSTRUCTIONS if line.startswith("FROM ")]

    assert set(bases) == {"python:3.11-slim-bookworm"}
    assert "USER 10001:10001" in INSTRUCTIONS
    last_user = max(n for n, line in enumerate(INSTRUCTIONS) if line.startswith("USER "))
    assert not any(line.startswith(("RUN ", "COPY ")) for line in INSTRUCTIONS[last_user:])


def test_health_is_liveness_so_that_a_stores_trouble_restarts_nobody() -> None:
    (health,) = (line for line in INSTRUCTIONS if line.startswith("HEALTHCHECK "))

    assert "/livez" in health

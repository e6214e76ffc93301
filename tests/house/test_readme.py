"""The README is what a newcomer does first: its files check, its commands, headers, metrics and links are real."""

from __future__ import annotations

import re
from pathlib import Path

import typer.main

from gateway.bootstrap.check import check
from gateway.cli.app import build_app
from tests.house.house import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_its_configuration_is_good_as_it_stands(tmp_path: Path) -> None:
    documents = {"joulegate.yaml": "", "policies/chatbot.yaml": ""}
    for block in re.findall(r"```yaml\n(.*?)```", README, re.DOTALL):
        documents[block.splitlines()[0].removeprefix("# ")] = block
    for name, text in documents.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)

    report = check([tmp_path / "joulegate.yaml"], {})

    assert report.faults == []
    assert report.summary() == "4 documents, 0 policy cases: all good"  # with its policy and two profiles


def test_its_commands_are_those_of_the_makefile_and_of_the_program() -> None:
    targets = re.findall(r"^\$ make (\w+)", README, re.MULTILINE)
    commands = re.findall(r"^\$ joulegate (\w+)", README, re.MULTILINE)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    program = typer.main.get_command(build_app())

    assert {"demo", "test"} <= set(targets)
    assert [target for target in targets if f"\n{target}:" not in makefile] == []
    assert {"check", "serve", "keys", "budgets"} <= set(commands) <= set(program.commands)


def test_the_headers_and_metrics_it_names_stand_in_the_code() -> None:
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "gateway").rglob("*.py"))
    names = set(re.findall(r"\bx-(?:joulegate|should)[a-z-]+[a-z]|\bjoulegate_[a-z_]+", README))

    assert len(names) > 15
    assert sorted(name for name in names if name not in code) == []


def test_its_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README)

    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []

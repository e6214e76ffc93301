"""`joulegate check` and `joulegate schema`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.options import Json
from gateway.cli.output import faults_told, say, say_json, show_table, warn

CHECK_EXAMPLES = """
Examples:

  joulegate check joulegate.yaml                  the file and everything it names

  joulegate check policies/                       every document below a directory

  joulegate check --json joulegate.yaml | jq .faults

Exit code 1 and `file:line: path: what` for every fault; secrets of the environment need not be set."""

SCHEMA_EXAMPLES = """
Examples:

  joulegate schema > joulegate.schema.json        of joulegate.yaml

  joulegate schema policy > policy.schema.json    of policies/*.yaml

An editor finds it by a first line `# yaml-language-server: $schema=joulegate.schema.json`."""


def check(
    paths: Annotated[list[Path], typer.Argument(help="Files or directories.", metavar="PATH")],
    as_json: Json = False,
) -> None:
    """Validate configuration, policies and profiles, run the policies' cases, show the budgets."""
    from gateway.bootstrap.check import check as run

    report = run(paths, os.environ)
    if as_json:
        say_json(report.as_json())
    else:
        for fault in report.faults:
            warn(fault)
        for note in report.notes:
            say(f"note: {note}")
        if report.budgets:
            show_table(report.budgets, empty="")
        say(report.summary())
    raise typer.Exit(1 if report.faults else 0)


def schema(
    document: Annotated[str, typer.Argument(help="settings, policy or profile.", metavar="DOCUMENT")] = "settings",
) -> None:
    """Print the JSON schema of a document, for editors."""
    from gateway.bootstrap.check import schema_of

    with faults_told():
        say_json(schema_of(document))

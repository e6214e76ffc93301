"""`joulegate profiles`: the numbers of backends."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.options import Json
from gateway.cli.output import faults_told, say, say_json, show_table

EXAMPLES = """
Examples:

  joulegate profiles list

  joulegate profiles show demo/thrifty

  joulegate profiles validate policies/profiles/mine.yaml"""

Directories = Annotated[
    list[Path] | None,
    typer.Option(
        "--dir", exists=True, file_okay=False, help="Search here before the shipped profiles; may be repeated."
    ),
]

ProfileId = Annotated[str, typer.Argument(help="As `joulegate profiles list` shows it.", metavar="PROFILE")]


def build() -> typer.Typer:
    """The commands below `profiles`."""
    app = typer.Typer(
        help="Numbers of a backend: what it charges, what it draws, how fast it is.", no_args_is_help=True
    )
    app.command("list", epilog=EXAMPLES)(list_profiles)
    app.command("show", epilog=EXAMPLES)(show)
    app.command("validate", epilog=EXAMPLES)(validate)
    return app


def list_profiles(directories: Directories = None, as_json: Json = False) -> None:
    """Every profile there is, shipped or yours, with its tier and source."""
    from gateway.bootstrap.profiles import Shelf, summary_of

    with faults_told():
        rows = [summary_of(profile) for profile in Shelf(directories or ()).all()]
    if as_json:
        say_json(rows)
    else:
        in_words = [{name: value for name, value in row.items() if name != "model"} for row in rows]  # the note says it
        show_table(in_words, empty="no profile found")


def show(profile: ProfileId, directories: Directories = None, as_json: Json = False) -> None:
    """One profile as it was read, with the file it stands in."""
    from gateway.bootstrap.profiles import Shelf

    with faults_told():
        found = Shelf(directories or ()).find(profile)
    if as_json:
        say_json(found.profile.model_dump(mode="json"))
    else:
        say(f"# {found.path}")
        say(found.path.read_text(encoding="utf-8").rstrip())


def validate(paths: Annotated[list[Path], typer.Argument(help="Files or directories.", metavar="PATH")]) -> None:
    """Read profiles strictly; exit code 1 with file, line and reason."""
    from gateway.bootstrap.check import check

    report = check(paths, os.environ, only="profile")
    for fault in report.faults:
        typer.echo(fault, err=True)
    say(report.summary())
    raise typer.Exit(1 if report.faults else 0)

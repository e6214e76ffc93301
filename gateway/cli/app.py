"""The tree of commands."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway import __version__
from gateway.cli import budgets, checking, keys, profiles, serving

HELP = """A cost-aware gateway for LLM inference: every answer carries its price in dollars, joules and
grams of CO2e.

Try it, with no account, key or network:

  joulegate demo

Run it for real:

  joulegate check joulegate.yaml                     is it right, and all it names?

  joulegate keys create --team support               prints the key once

  joulegate serve --config joulegate.yaml            then point base_url at it

  joulegate budgets list                             where each budget stands
"""


def build_app() -> typer.Typer:
    """Every command, ready to be called."""
    app = typer.Typer(
        name="joulegate",
        help=HELP,
        no_args_is_help=True,
        add_completion=True,
        pretty_exceptions_enable=False,  # a traceback of a fault of ours is for a bug report: plain, and without locals
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    app.command("serve", epilog=serving.SERVE_EXAMPLES)(serving.serve)
    app.command("demo", epilog=serving.DEMO_EXAMPLES)(serving.demo)
    app.command("check", epilog=checking.CHECK_EXAMPLES)(checking.check)
    app.command("schema", epilog=checking.SCHEMA_EXAMPLES)(checking.schema)
    app.add_typer(keys.build(), name="keys")
    app.add_typer(budgets.build(), name="budgets")
    app.add_typer(profiles.build(), name="profiles")
    return app


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"joulegate {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """What stands before a command."""

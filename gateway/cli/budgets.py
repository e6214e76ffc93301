"""`joulegate budgets`: where each budget stands."""

from __future__ import annotations

import asyncio
import os

import typer

from gateway.cli.options import DEFAULT_CONFIG, Config, Json
from gateway.cli.output import faults_told, say_json, show_table

EXAMPLES = """
Examples:

  joulegate budgets list

  joulegate budgets list --json | jq '.[] | select(.used > 0.9)'"""


def build() -> typer.Typer:
    """The commands below `budgets`."""
    app = typer.Typer(help="What may be spent, and what was.", no_args_is_help=True)
    app.callback()(lambda: None)
    app.command("list", epilog=EXAMPLES)(list_budgets)
    return app


def list_budgets(config: Config = DEFAULT_CONFIG, as_json: Json = False) -> None:
    """Every declared budget in its present window: limit, spent, held."""
    from gateway.bootstrap.budgets import budget_rows

    with faults_told():
        rows = asyncio.run(budget_rows(config, os.environ))
    if as_json:
        say_json(rows)
    else:
        show_table(rows, empty="the policies declare no budget")

"""`joulegate keys`: who may call."""

from __future__ import annotations

import asyncio
import os
from typing import Annotated

import typer

from gateway.cli.options import DEFAULT_CONFIG, Config, Json
from gateway.cli.output import faults_told, say, say_json, show_table, warn

EXAMPLES = """
Examples:

  joulegate keys create --team support

  joulegate keys create --team research --model chat --expires-days 90 --name ci

  KEY=$(joulegate keys create --team support --json | jq -r .key)

  joulegate keys rotate KEY_ID          a new secret for the same key; the old one ends now

  joulegate keys revoke KEY_ID

A key is shown once, when it is made: only its digest is stored."""

KeyId = Annotated[str, typer.Argument(help="As `joulegate keys list` shows it.", metavar="KEY_ID")]


def build() -> typer.Typer:
    """The commands below `keys`."""
    app = typer.Typer(help="Who may call. Keys are stored as digests only.", no_args_is_help=True)
    app.command("create", epilog=EXAMPLES)(create)
    app.command("list", epilog=EXAMPLES)(list_keys)
    app.command("rotate", epilog=EXAMPLES)(rotate)
    app.command("revoke", epilog=EXAMPLES)(revoke)
    return app


def create(
    team: Annotated[str, typer.Option(help="Who pays.")],
    name: Annotated[str, typer.Option(help="A word to recognise it by.")] = "",
    org: Annotated[str, typer.Option(help="The team's organisation.")] = "default",
    project: Annotated[str | None, typer.Option(help="A part of the team.")] = None,
    models: Annotated[list[str] | None, typer.Option("--model", help="It may ask for this one; default: all.")] = None,
    classes: Annotated[list[str] | None, typer.Option("--class", help="It may ask for this SLA class.")] = None,
    expose: Annotated[
        list[str] | None, typer.Option(help="What its callers see: cost, energy, backend, limits; default: all.")
    ] = None,
    budget_status: Annotated[
        int, typer.Option(help="Status of a spent budget: 402, or 429 for stacks that know only that.")
    ] = 402,
    expires_days: Annotated[int | None, typer.Option(min=1, help="It ends by itself after so many days.")] = None,
    usage_comment: Annotated[
        bool,
        typer.Option("--usage-comment", help="Streams carry their price as an SSE comment; some clients choke on it."),
    ] = False,
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """Make a key and print it, once."""
    from gateway.bootstrap.keys import KeyWish, create_key

    wish = KeyWish(
        team=team,
        name=name,
        org=org,
        project=project,
        models=frozenset(models or ()),
        classes=frozenset(classes or ()),
        expose=None if expose is None else frozenset(expose),
        budget_status=budget_status,
        expires_days=expires_days,
        usage_comment=usage_comment,
    )
    with faults_told():
        made = asyncio.run(create_key(config, os.environ, wish))
    if as_json:
        say_json(made)
    else:
        say(str(made["key"]))
        warn(f"key {made['id']} of team {team}; it is not stored and can not be shown again")


def list_keys(config: Config = DEFAULT_CONFIG, as_json: Json = False) -> None:
    """Every key, without its secret."""
    from gateway.bootstrap.keys import key_rows

    with faults_told():
        rows = asyncio.run(key_rows(config, os.environ))
    if as_json:
        say_json(rows)
    else:
        show_table(rows, empty="no keys yet; make one: joulegate keys create --team NAME")


def rotate(key_id: KeyId, config: Config = DEFAULT_CONFIG, as_json: Json = False) -> None:
    """Give a key a new secret and print it, once; the old secret ends at once."""
    from gateway.bootstrap.keys import rotate_key

    with faults_told():
        made = asyncio.run(rotate_key(config, os.environ, key_id))
    if as_json:
        say_json(made)
    else:
        say(str(made["key"]))


def revoke(key_id: KeyId, config: Config = DEFAULT_CONFIG) -> None:
    """End a key; every gateway follows within a second."""
    from gateway.bootstrap.keys import revoke_key

    with faults_told():
        asyncio.run(revoke_key(config, os.environ, key_id))
    say(f"key {key_id} is revoked")

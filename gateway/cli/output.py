"""How commands talk: tables for people, JSON for scripts, faults in words on stderr with exit code 1."""

from __future__ import annotations

import errno
import json
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import typer

from gateway.domain.faults import JoulegateError

REMEDIES = {
    errno.EADDRINUSE: "choose another with listen.port or admin.port, or 0 for a free one",
    errno.EADDRNOTAVAIL: "listen.host and admin.host must be addresses of this machine",
    errno.ENOSPC: "free some space, or choose another data_dir",
}


def say(text: str) -> None:
    """A line for the person, on stdout."""
    typer.echo(text)


def say_json(value: object) -> None:
    """A value for a script, on stdout, as one JSON document."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def warn(text: str) -> None:
    """A line for the person, on stderr."""
    typer.echo(text, err=True)


def show_table(rows: Sequence[Mapping[str, object]], *, empty: str) -> None:
    """A table whose headings are the keys of the first row, or the sentence `empty`."""
    if not rows:
        say(empty)
        return
    from rich.console import Console  # 0.1 s, and `serve` shows no table
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, heading in enumerate(rows[0]):
        table.add_column(heading, overflow="fold", no_wrap=index == 0)  # the first is a name, to be copied whole
    for row in rows:
        table.add_row(*("-" if value in (None, "") else str(value) for value in row.values()))
    console = Console(file=sys.stdout)
    if not console.is_terminal:
        console.width = 200  # a pipe has no width: do not fold what a script will read
    console.print(table)


@contextmanager
def faults_told() -> Iterator[None]:
    """Faults of the house or of this machine end the command with a sentence and exit code 1, without a traceback."""
    try:
        yield
    except JoulegateError as fault:
        warn(str(fault))
        raise typer.Exit(1) from None
    except OSError as fault:
        warn(in_words(fault))
        raise typer.Exit(1) from None


def in_words(fault: OSError) -> str:
    """What this machine refused, and what would do: a port in use, a directory that can not be written."""
    what = fault.strerror or str(fault)
    if isinstance(fault, socket.gaierror):
        remedy = REMEDIES[errno.EADDRNOTAVAIL]
    elif fault.filename is not None:
        what = f"{fault.filename}: {what}"
        remedy = REMEDIES.get(fault.errno or 0, "data_dir must be a directory that this user may write to")
    else:
        remedy = REMEDIES.get(fault.errno or 0, "")
    return f"{what}; {remedy}" if remedy else what

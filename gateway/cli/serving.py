"""`joulegate serve` and `joulegate demo`."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from gateway.cli.options import DEFAULT_CONFIG, Config
from gateway.cli.output import faults_told

SERVE_EXAMPLES = """
Examples:

  joulegate serve --config joulegate.yaml

  joulegate serve --workers 4          one process per core; budgets and metrics are shared

  kill -HUP PID                        reload; a bad file leaves the old rules serving

  kill -TERM PID                       finish streams, settle, leave with exit code 0

One JSON line with the ports is printed when it is ready. Logs go to stderr."""

DEMO_EXAMPLES = """
Examples:

  joulegate demo                       until Ctrl-C

  joulegate demo --seconds 20          ends by itself with a summary

  joulegate demo --real                a real llama.cpp server and a real small model (make real)"""


def serve(
    config: Config = DEFAULT_CONFIG,
    workers: Annotated[
        int | None, typer.Option(min=1, max=256, help="Processes that serve; default: `workers` of the file.")
    ] = None,
) -> None:
    """Run the gateway."""
    from gateway.bootstrap.serve import serve as run

    with faults_told():
        raise typer.Exit(run(config, os.environ, workers=workers))


def demo(
    seconds: Annotated[
        float | None, typer.Option(min=1, help="End by itself after this long; default: until Ctrl-C.")
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Data port; 0 takes a free one.")] = 8080,
    admin_port: Annotated[int, typer.Option(min=0, max=65535, help="Admin port; 0 takes a free one.")] = 8081,
    real: Annotated[bool, typer.Option("--real", help="A real model instead of simulated backends.")] = False,
) -> None:
    """Gateway, backends and chatbot traffic on this machine, with a live table of what it all costs."""
    from gateway.bootstrap.demo import DemoOptions
    from gateway.bootstrap.demo import demo as run

    with faults_told():
        raise typer.Exit(run(DemoOptions(seconds=seconds, port=port, admin_port=admin_port, real=real)))

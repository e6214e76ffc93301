"""Parses arguments and calls one function of bootstrap."""

from __future__ import annotations


def main() -> None:
    """The `joulegate` command."""
    from gateway.cli.app import build_app  # here, so that importing the package costs nothing

    build_app()()

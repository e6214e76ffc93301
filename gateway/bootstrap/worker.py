"""One worker of a supervised gateway: `python -m gateway.bootstrap.worker --config PATH --port N`.

Shares the data port with its siblings (SO_REUSEPORT) and shows its metrics on a loopback port that only the supervisor
is told of. The embedded Valkey is the supervisor's; a worker finds it by its lock.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import uvloop

from gateway.bootstrap.assemble import assemble
from gateway.bootstrap.counting import ready_counter
from gateway.bootstrap.process import build
from gateway.bootstrap.serve import open_files_limit, run
from gateway.bootstrap.settings import SettingsFile, read_settings
from gateway.domain.faults import JoulegateError
from gateway.ledger.embedded import EmbeddedValkey
from gateway.telemetry.logs import adopt_logging, make_log

LOOPBACK = "127.0.0.1"


def main() -> None:
    """Parse arguments, serve, leave with the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    try:
        sys.exit(uvloop.run(_serve(read_settings(arguments.config, os.environ), arguments.port)))
    except JoulegateError as fault:
        sys.exit(str(fault))


async def _serve(file: SettingsFile, port: int) -> int:
    log = make_log(sys.stderr)
    adopt_logging(log)
    open_files_limit()
    assembly = assemble(file)
    process = build(file, assembly, _redis_url(file), ready_counter(assembly.snapshot), log)
    return await run(process, port=port, admin_host=LOOPBACK, admin_port=0, reuse_port=True)


def _redis_url(file: SettingsFile) -> str:
    given = file.settings.redis.url
    url = EmbeddedValkey.find(file.data_dir) if given is None else given.get_secret_value()
    if url is None:
        raise JoulegateError("a worker needs its supervisor, which runs the embedded Valkey: use `joulegate serve`")
    return url


if __name__ == "__main__":
    main()

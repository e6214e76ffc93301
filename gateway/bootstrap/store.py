"""The Redis of a deployment, for commands: the one its settings name, or the embedded one of its data directory.

A gateway that runs holds the embedded Valkey's lock, and commands use its socket; otherwise the command starts the
server for itself, and stops it when done.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from gateway.bootstrap.secrets_file import pepper
from gateway.bootstrap.settings import SettingsFile, read_settings
from gateway.ledger.channel import ScriptChannel
from gateway.ledger.embedded import EmbeddedValkey
from gateway.ledger.identities import KeyStore
from gateway.ledger.statuses import Statuses

COMMAND_SECONDS_MAX = 5.0
CONNECT_SECONDS_MAX = 1.0  # a Redis that is not there should not keep a person waiting


@dataclass(frozen=True, slots=True)
class Store:
    """What commands do with Redis."""

    file: SettingsFile
    channel: ScriptChannel
    keys: KeyStore
    statuses: Statuses

    async def now_ms(self) -> int:
        """Redis's own time, which windows are computed from."""
        return await redis_now_ms(self.channel)


async def redis_now_ms(channel: ScriptChannel) -> int:
    """Redis's clock, in milliseconds since 1970. Raises LedgerUnavailable."""
    seconds, micros = cast(list[bytes], await channel.command("TIME"))
    return int(seconds) * 1_000 + int(micros) // 1_000


@contextlib.asynccontextmanager
async def open_store(config: Path, env: Mapping[str, str]) -> AsyncIterator[Store]:
    """Connect for one command. Raises BadDocument, EmbeddedFailed or LedgerUnavailable."""
    file = read_settings(config, env)
    with redis_url(file) as url:
        channel = connect(url)
        try:
            yield Store(file, channel, KeyStore(channel, pepper(file)), Statuses(channel))
        finally:
            await channel.close()


@contextlib.contextmanager
def redis_url(file: SettingsFile) -> Iterator[str]:
    """Where this deployment's Redis is; an embedded one that nobody runs is run for as long as the block lasts."""
    given = file.settings.redis.url
    if given is not None:
        yield given.get_secret_value()
    elif (running := EmbeddedValkey.find(file.data_dir)) is not None:
        yield running
    else:
        with EmbeddedValkey(file.data_dir) as valkey:
            yield valkey.url


def connect(url: str) -> ScriptChannel:
    """A channel for what is not on the hot path: keys, statuses, probes. Connects at the first command."""
    return ScriptChannel(url, (), deadline_s=COMMAND_SECONDS_MAX, patience_s=CONNECT_SECONDS_MAX)

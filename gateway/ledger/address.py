"""Where Redis is and how to greet it: redis://, rediss:// and unix:// URLs, in the words that redis-py made usual."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from gateway.ledger.wire import Wire

SCHEMES: Final = ("redis", "rediss", "unix")
PORT: Final = 6379


@dataclass(frozen=True, slots=True)
class Address:
    """One server. `str()` names it without its password."""

    host: str
    port: int
    path: str | None
    database: int
    username: str | None
    password: str | None = field(repr=False)
    tls: ssl.SSLContext | None = field(repr=False)

    @classmethod
    def of(cls, url: str) -> Address:
        """Raises ValueError for another scheme or an unreadable option."""
        parts = urlsplit(url)
        if parts.scheme not in SCHEMES:
            raise ValueError("a Redis URL begins with redis://, rediss:// or unix://")
        options = dict(parse_qsl(parts.query))
        return cls(
            host=unquote(parts.hostname or "localhost"),
            port=parts.port or PORT,
            path=unquote(parts.path) if parts.scheme == "unix" else None,
            database=_database(parts, options),
            username=unquote(parts.username) if parts.username else options.get("username"),
            password=unquote(parts.password) if parts.password else options.get("password"),
            tls=_tls(options) if parts.scheme == "rediss" else None,
        )

    async def open(self) -> Wire:
        """Connect. Raises OSError."""
        loop = asyncio.get_running_loop()
        if self.path is not None:
            _, wire = await loop.create_unix_connection(Wire, self.path)
        else:
            _, wire = await loop.create_connection(Wire, self.host, self.port, ssl=self.tls)
        return wire

    def greeting(self) -> list[tuple[str, ...]]:
        """The commands to send first on a new connection."""
        commands: list[tuple[str, ...]] = []
        if self.password is not None:
            commands.append(("AUTH", self.username, self.password) if self.username else ("AUTH", self.password))
        if self.database:
            commands.append(("SELECT", str(self.database)))
        return commands

    def __str__(self) -> str:
        return self.path if self.path is not None else f"{self.host}:{self.port}"


def _database(parts: SplitResult, options: Mapping[str, str]) -> int:
    """The number of `?db=` or, but for a socket, of the path."""
    named = options.get("db") or ("" if parts.scheme == "unix" else unquote(parts.path).strip("/"))
    if not named:
        return 0
    if not (named.isascii() and named.isdigit()):
        raise ValueError(f"a Redis URL names its database by a number, not '{named}'")
    return int(named)


def _tls(options: Mapping[str, str]) -> ssl.SSLContext:
    """The server's certificate and name are always checked."""
    authority, certificate, key = (options.get(f"ssl_{name}") for name in ("ca_certs", "certfile", "keyfile"))
    context = ssl.create_default_context(cafile=authority)
    if certificate:
        context.load_cert_chain(certificate, key)
    return context

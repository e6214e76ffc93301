"""Where Redis is and how to greet it: redis://, rediss:// and unix:// URLs, read by redis-py's own parser."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field

from redis.asyncio.connection import ConnectKwargs, SSLConnection, parse_url

from gateway.ledger.wire import Wire


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
        found: ConnectKwargs = parse_url(url)
        path = found.get("path")
        return cls(
            host=str(found.get("host", "localhost")),
            port=int(found.get("port", 6379)),
            path=None if path is None else str(path),
            database=int(found.get("db", 0)),
            username=found.get("username"),
            password=found.get("password"),
            tls=_tls({**found}) if found.get("connection_class") is SSLConnection else None,
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


def _tls(found: Mapping[str, object]) -> ssl.SSLContext:
    """The server's certificate and name are always checked; the options are redis-py's."""
    authority, certificate, key = (found.get(f"ssl_{name}") for name in ("ca_certs", "certfile", "keyfile"))
    context = ssl.create_default_context(cafile=str(authority) if authority else None)
    if certificate:
        context.load_cert_chain(str(certificate), str(key) if key else None)
    return context

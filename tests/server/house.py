"""A data port with small fakes around it, for the tests of this room."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from gateway.domain.amounts import Amounts
from gateway.domain.budgets import Ask, BudgetStatus, Denial, Hold, Stale
from gateway.domain.catalog import Limits, ServedModel, SlaClass, Snapshot
from gateway.domain.faults import InvalidRequest
from gateway.domain.record import UsageRecord
from gateway.domain.tenancy import Identity
from gateway.pipeline.incoming import Incoming
from gateway.ports.reply import Reply
from gateway.server.data import DataServer
from gateway.server.errors import refusal_of
from gateway.server.listener import Listener

KEY = b"jg-good"
ALICE = Identity(key_id="k-alice", team="support", name="alice", models=frozenset({"chat"}))
BOB = Identity(key_id="k-bob", team="sales", expose=frozenset({"cost"}))
SNAPSHOT = Snapshot(
    version="v1",
    models={"chat": ServedModel("chat", (), created_s=7), "secret": ServedModel("secret", ())},
    backends={},
    classes={"default": SlaClass("default")},
    default_class="default",
)
Serve = Callable[[Incoming, Reply], Awaitable[None]]


class FakeClock:
    """Time that stands still."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def wall_ms(self) -> int:
        return 1_764_000_000_000


class FakeIdentities:
    """Knows two keys; can be made slow, or away."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.fault: Exception | None = None
        self.awaits = False

    def find(self, key: bytes) -> Identity | Awaitable[Identity | None] | None:
        self.asked.append(key)
        if self.fault is not None:
            raise self.fault
        found = {KEY: ALICE, b"jg-bob": BOB}.get(key)
        return self._later(found) if self.awaits else found

    async def _later(self, found: Identity | None) -> Identity | None:
        await asyncio.sleep(0)
        return found


class FakePolicies:
    def __init__(self, limits: Limits) -> None:
        self.limits = limits

    def current(self) -> Snapshot:
        return Snapshot(
            SNAPSHOT.version, SNAPSHOT.models, SNAPSHOT.backends, SNAPSHOT.classes, "default", limits=self.limits
        )


class FakeLedger:
    """Only `find` is asked by the door."""

    def __init__(self) -> None:
        self.summaries: dict[tuple[str, str, str], bytes] = {}
        self.misses_first = 0
        self.fault: Exception | None = None

    def now_ms(self) -> int:
        return 0

    async def reserve(self, ask: Ask) -> Hold | Denial | Stale:
        raise NotImplementedError

    async def settle(
        self, hold: Hold, spent: Amounts, basis: str, *, summary: bytes = b"", alias: str | None = None
    ) -> bool:
        raise NotImplementedError

    async def release(self, hold: Hold, reason: str) -> None:
        raise NotImplementedError

    async def find(self, root: str, key_id: str, request_id: str) -> bytes | None:
        if self.fault is not None:
            raise self.fault
        if self.misses_first > 0:
            self.misses_first -= 1
            return None
        return self.summaries.get((root, key_id, request_id))


@dataclass
class FakeSignals:
    refusals: list[str] = field(default_factory=list)
    records: list[UsageRecord] = field(default_factory=list)
    open_streams: int = 0

    def ended(self, record: UsageRecord) -> None:
        self.records.append(record)

    def refused(self, reason: str) -> None:
        self.refusals.append(reason)

    def streams(self, change: int) -> None:
        self.open_streams += change


@dataclass
class FakeRecorder:
    records: list[UsageRecord] = field(default_factory=list)

    def record(self, record: UsageRecord) -> None:
        self.records.append(record)

    def healthy(self) -> bool:
        return True


class FakePipeline:
    """Echoes the body, unless told otherwise."""

    def __init__(self) -> None:
        self.seen: list[Incoming] = []
        self.bodies: list[bytes] = []
        self.cancelled = asyncio.Event()
        self.serving: Serve = self.echo

    async def serve(self, incoming: Incoming, reply: Reply) -> None:
        self.seen.append(incoming)
        try:
            await self.serving(incoming, reply)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        except InvalidRequest as fault:
            await reply.refuse(refusal_of(fault), [])

    async def echo(self, incoming: Incoming, reply: Reply) -> None:
        body = await incoming.read_body()
        self.bodies.append(body)
        await reply.send(200, [("content-type", "application/json")], b'{"bytes": %d}' % len(body))


class Port:
    """A started data port and everything it was given."""

    def __init__(
        self, *, limits: Limits | None = None, connections_max: int = 100, hosts: frozenset[str] = frozenset()
    ):
        self.pipeline = FakePipeline()
        self.identities = FakeIdentities()
        self.ledger = FakeLedger()
        self.signals = FakeSignals()
        self.recorder = FakeRecorder()
        self.clock = FakeClock()
        self.draining = asyncio.Event()
        self.statuses: list[BudgetStatus] = []
        numbers = itertools.count(1)
        self.server = DataServer(
            pipeline=self.pipeline,
            identities=self.identities,
            policies=FakePolicies(limits or Limits()),
            ledger=self.ledger,
            signals=self.signals,
            recorder=self.recorder,
            clock=self.clock,
            new_id=lambda: f"own-{next(numbers)}",
            root=lambda identity: identity.org,
            draining=self.draining,
            balances=self._balances,
            hosts=hosts,
            connections_max=connections_max,
        )
        self.host, self.port = "", 0

    async def _balances(self, identity: Identity) -> list[BudgetStatus]:
        return self.statuses

    @property
    def listener(self) -> Listener:
        """Whose sweep a test may hurry along."""
        assert self.server.listener is not None
        return self.server.listener

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    async def send(self, raw: bytes, *, until_close: bool = False, seconds: float = 5.0) -> bytes:
        """One raw exchange on a connection of its own. Reads to the end of one answer, or until the server closes."""
        reader, writer = await asyncio.open_connection(self.host, self.port)
        try:
            writer.write(raw)
            await writer.drain()
            async with asyncio.timeout(seconds):
                return await (reader.read() if until_close else read_answer(reader))
        finally:
            writer.close()

    async def send_slowly(self, parts: list[bytes], *, seconds: float = 5.0) -> bytes:
        """Send parts one by one, each in a segment of its own; read until the server closes."""
        reader, writer = await asyncio.open_connection(self.host, self.port)
        try:
            for part in parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0.05)
            async with asyncio.timeout(seconds):
                return await reader.read()
        finally:
            writer.close()


async def read_answer(reader: asyncio.StreamReader) -> bytes:
    """One answer with a content-length, or whatever came before the connection closed."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as cut:
        return cut.partial
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return head + await reader.readexactly(int(line.split(b":")[1]))
    return head + await reader.read()


@asynccontextmanager
async def a_port(**options: object) -> AsyncIterator[Port]:
    """A data port on a free port of loopback."""
    port = Port(**options)  # type: ignore[arg-type]
    bound = await port.server.start("127.0.0.1", 0)
    assert isinstance(bound, tuple)
    port.host, port.port = bound
    try:
        yield port
    finally:
        await port.server.close()


def post(
    body: bytes = b"{}",
    *,
    path: str = "/v1/chat/completions",
    headers: tuple[tuple[str, str], ...] = (),
    key: bytes | None = KEY,
    framing: bytes | None = None,
    version: bytes = b"HTTP/1.1",
) -> bytes:
    """A raw POST request."""
    lines = [b"POST " + path.encode() + b" " + version, b"Host: localhost"]
    if key is not None:
        lines.append(b"Authorization: Bearer " + key)
    lines += [f"{name}: {value}".encode() for name, value in headers]
    lines.append(b"Content-Length: %d" % len(body) if framing is None else framing)
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def get(path: str, *, key: bytes | None = KEY, headers: tuple[tuple[str, str], ...] = ()) -> bytes:
    """A raw GET request."""
    lines = [f"GET {path} HTTP/1.1".encode(), b"Host: localhost"]
    if key is not None:
        lines.append(b"x-api-key: " + key)
    lines += [f"{name}: {value}".encode() for name, value in headers]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def status_of(answer: bytes) -> int:
    """The status of a raw answer; 0 when there was none."""
    return int(answer.split(b" ", 2)[1]) if answer else 0


def body_of(answer: bytes) -> bytes:
    """The body of a raw answer."""
    return answer.partition(b"\r\n\r\n")[2]


def headers_of(answer: bytes) -> dict[str, str]:
    """The headers of a raw answer, names in lower case."""
    lines = answer.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]
    return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}

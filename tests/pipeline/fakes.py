"""A house of fakes around the real pipeline, router, prices and estimators; upstreams follow a script."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from gateway.domain.amounts import Unit
from gateway.domain.budgets import Budget, WindowKind
from gateway.domain.call import Caller, CallKind
from gateway.domain.catalog import Backend, Latency, Member, ServedModel, SlaClass, Snapshot, Timeouts
from gateway.domain.faults import BackendFailed
from gateway.domain.profile import PriceTier, Rates, TokenRates
from gateway.domain.record import UsageRecord
from gateway.domain.refusal import Refusal
from gateway.domain.tenancy import Identity
from gateway.domain.usage import Count
from gateway.ledger.memory import MemoryLedger
from gateway.metering.estimate import InputEstimator
from gateway.metering.lengths import OutputLengths
from gateway.metering.ratios import Ratios
from gateway.pipeline import Incoming, Pipeline
from gateway.pipeline.aftercare import Aftercare
from gateway.pipeline.attempts import Attempts
from gateway.pipeline.books import Books
from gateway.pipeline.closing import Closer
from gateway.pipeline.draining import Drainer
from gateway.pipeline.quoting import Quoter
from gateway.pipeline.relay import Relay
from gateway.policy.claims import Claims
from gateway.policy.router import Router
from gateway.ports import ClientGone

START_MS = 1_795_000_000_000


class FakeClock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now

    def wall_ms(self) -> int:
        return START_MS + int((self.now - 1_000.0) * 1_000)


class WordCounter:
    """One token a word: sums a reader can check."""

    def count(self, texts: Sequence[str], encoding: str) -> Count:
        return Count(sum(len(text.split()) for text in texts), exact=True)


class FakeReply:
    """Keeps what a caller would have received. `leaves_after` bytes, or at the sight of some, it is gone."""

    def __init__(self, leaves_after: int | None = None, leaves_at: bytes | None = None) -> None:
        self.leaves_at = leaves_at
        self.started = self.cut_short = False
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""
        self.refusal: Refusal | None = None
        self.ended = self.aborted = False
        self.leaves_after = leaves_after

    async def send(self, status: int, headers: Sequence[tuple[str, str]], body: bytes) -> None:
        self.started = True
        self._head(status, headers)
        self.body = body
        self._leave()

    async def refuse(self, refusal: Refusal, headers: Sequence[tuple[str, str]]) -> int:
        self.refusal = refusal
        self._head({"budget_exhausted": 402, "rate_limit_exceeded": 429}.get(refusal.code, 400), headers)
        return self.status

    async def begin(self, status: int, headers: Sequence[tuple[str, str]]) -> None:
        self.started = True
        self._head(status, headers)

    async def write(self, chunk: bytes) -> None:
        self.body += chunk
        self._leave()

    async def end(self) -> None:
        self.ended = True

    def abort(self) -> None:
        self.aborted = True

    def _head(self, status: int, headers: Sequence[tuple[str, str]]) -> None:
        self.status, self.headers = status, dict(headers)

    def _leave(self) -> None:
        if self.leaves_after is not None and len(self.body) >= self.leaves_after:
            raise ClientGone
        if self.leaves_at is not None and self.leaves_at in self.body:
            raise ClientGone


@dataclass
class Script:
    """What one upstream does when it is asked."""

    status: int = 200
    chunks: Sequence[bytes] = ()
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": "application/json"})
    refuses: BackendFailed | None = None  # instead of an answer
    breaks: BackendFailed | None = None  # after the chunks
    hangs: bool = False  # after the chunks


class FakeAnswer:
    def __init__(self, script: Script) -> None:
        self.status = script.status
        self.headers = script.headers
        self.closed = False
        self._script = script
        self._left = list(script.chunks)

    async def body(self, limit: int) -> bytes:
        return b"".join([chunk async for chunk in self.chunks()])

    async def chunks(self) -> AsyncIterator[bytes]:
        while self._left:
            yield self._left.pop(0)
        if self._script.breaks is not None:
            raise self._script.breaks
        if self._script.hangs:
            await asyncio.Event().wait()

    def close(self) -> None:
        self.closed = True


class FakeUpstream:
    def __init__(self, *scripts: Script) -> None:
        self.scripts = list(scripts)
        self.asked: list[dict[str, object]] = []
        self.answers: list[FakeAnswer] = []

    async def send(
        self, path: str, body: bytes, *, stream: bool, timeouts: Timeouts, traceparent: str | None, request_id: str
    ) -> FakeAnswer:
        self.asked.append(orjson.loads(body))
        script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
        if script.refuses is not None:
            raise script.refuses
        self.answers.append(FakeAnswer(script))
        return self.answers[-1]


class FakeUpstreams:
    def __init__(self, **by_name: FakeUpstream) -> None:
        self.by_name = by_name

    def get(self, backend: str) -> FakeUpstream:
        return self.by_name[backend]


class ListRecorder:
    def __init__(self) -> None:
        self.records: list[UsageRecord] = []
        self.ok = True

    def record(self, record: UsageRecord) -> None:
        self.records.append(record)

    def healthy(self) -> bool:
        return self.ok


class CountingSignals:
    def __init__(self) -> None:
        self.seen: list[UsageRecord] = []

    def ended(self, record: UsageRecord) -> None:
        self.seen.append(record)

    def refused(self, reason: str) -> None:
        raise AssertionError("the pipeline refuses with a record")

    def streams(self, change: int) -> None:
        pass


class FixedPolicies:
    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot

    def current(self) -> Snapshot:
        return self.snapshot


def usd_per_token(nanos: int, energy_mj: int | None = 1) -> Rates:
    """Every token, in or out, costs `nanos` and `energy_mj`; marginal and rated alike, 100 g per kWh or so."""
    energy_nj = None if energy_mj is None else energy_mj * 1_000_000
    each = TokenRates(
        usd_uncached_input=nanos * 1_000,
        usd_cached_input=nanos * 1_000,
        usd_cache_write=nanos * 1_000,
        usd_output=nanos * 1_000,
        usd_reasoning=nanos * 1_000,
        usd_request=0,
        energy_uncached_input=energy_nj,
        energy_output=energy_nj,
        energy_request=None if energy_mj is None else 0,
    )
    return Rates(
        profile_id="test/flat",
        profile_version="1",
        tiers=(PriceTier(0, each, each),),
        carbon_ug_per_kj=100_000,
        embodied_ug_per_busy_s=0,
        idle_mw=100_000,
        active_mw=500_000,
        usd_picos_per_s=0,
        energy_tier="C",
        energy_boundary="facility",
        energy_factor90=1.3,
        zone=None,
    )


def a_member(backend: str, nanos: int = 10, **changes: object) -> Member:
    options: dict[str, object] = {
        "name": f"{backend}/chat",
        "backend": backend,
        "upstream_model": f"{backend}-model",
        "rates": usd_per_token(nanos),
        "latency": Latency(ttft_base_ms=100.0, ttft_per_1k_input_ms=0.0, tpot_base_ms=10.0, tpot_per_active_ms=0.0),
        "encoding": "o200k_base",
    }
    return Member(**(options | changes))  # type: ignore[arg-type]


def a_budget(usd_nanos: int, name: str = "small") -> Budget:
    return Budget(name=name, scope={"team": "support"}, limits={Unit.USD_NANOS: usd_nanos}, window=WindowKind.MONTH)


def a_snapshot(
    *members: Member, budgets: Sequence[Budget] = (), backends: Sequence[Backend] = (), attempts: int = 3
) -> Snapshot:
    declared = {backend.name: backend for backend in backends}
    return Snapshot(
        version="v1",
        models={"chat": ServedModel("chat", members)},
        backends={m.backend: declared.get(m.backend, Backend(m.backend, f"http://{m.backend}/v1")) for m in members},
        classes={"loose": SlaClass("loose")},
        default_class="loose",
        budgets=tuple(budgets),
        attempts=attempts,
    )


class House:
    """The real pipeline between fakes."""

    def __init__(self, snapshot: Snapshot, **upstreams: FakeUpstream) -> None:
        self.clock = FakeClock()
        self.ledger = MemoryLedger(now_ms=self.clock.wall_ms)
        self.recorder = ListRecorder()
        self.signals = CountingSignals()
        self.upstreams = FakeUpstreams(**upstreams)
        self.aftercare = Aftercare()
        self.router = Router(random=lambda: 0.5)
        self.requests = 0
        estimator, lengths, books = InputEstimator(WordCounter(), Ratios()), OutputLengths(), Books()
        compiled: dict[str, Claims] = {}

        def claims(of: Snapshot) -> Claims:
            if of.version not in compiled:
                compiled[of.version] = Claims(of.budgets, of.tenancy_root)
            return compiled[of.version]

        shared = {"clock": self.clock, "ledger": self.ledger, "aftercare": self.aftercare}
        self.pipeline = Pipeline(
            **shared,  # type: ignore[arg-type]
            policies=FixedPolicies(snapshot),
            recorder=self.recorder,
            signals=self.signals,
            quoter=Quoter(estimator=estimator, lengths=lengths),
            attempts=Attempts(
                **shared,  # type: ignore[arg-type]
                upstreams=self.upstreams,
                router=self.router,
                relay=Relay(**shared, router=self.router, estimator=estimator),  # type: ignore[arg-type]
                closer=Closer(ledger=self.ledger, router=self.router, estimator=estimator, lengths=lengths),
                books=books,
                drainer=Drainer(),
                claims=claims,
            ),
            claims=claims,
            gateway="test",
        )

    async def ask(self, body: dict[str, object], reply: FakeReply | None = None, **caller: object) -> FakeReply:
        """One request, and its books closed."""
        reply = reply or FakeReply()
        try:
            await self.pipeline.serve(self.incoming(body, **caller), reply)
        finally:
            await self.aftercare.drain(5)
        return reply

    def incoming(self, body: dict[str, object], **caller: object) -> Incoming:
        self.requests += 1
        raw = orjson.dumps({"model": "chat", "messages": [{"role": "user", "content": "one two three"}]} | body)
        identity = caller.pop("identity", Identity(key_id="k1", team="support"))
        return Incoming(
            kind=CallKind.CHAT,
            identity=identity,  # type: ignore[arg-type]
            caller=Caller(request_id=self.new_id(), **caller),  # type: ignore[arg-type]
            accepted=self.clock.now,
            accepted_wall_ms=self.clock.wall_ms(),
            read_body=reading(raw),
        )

    def new_id(self) -> str:
        from gateway.ledger.ids import new_id

        return new_id(self.clock.wall_ms(), self.requests.to_bytes(10, "big"))

    @property
    def record(self) -> UsageRecord:
        """The one record there is."""
        (record,) = self.recorder.records
        return record


def reading(raw: bytes) -> Callable[[], Awaitable[bytes]]:
    async def read() -> bytes:
        return raw

    return read


def an_answer(text: str = "four five", *, usage: dict[str, object] | None = None) -> Script:
    """A chat completion; 10 input and 2 output tokens unless said otherwise."""
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
    }
    reported = {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12} if usage is None else usage
    return Script(chunks=[orjson.dumps(body | ({"usage": reported} if reported else {}))])


def a_stream(*words: str, usage: bool = True, done: bool = True, **script: object) -> Script:
    """Server-sent events, one word each."""
    events = [
        b"data: " + orjson.dumps({"choices": [{"index": 0, "delta": {"content": word}, "finish_reason": None}]})
        for word in words
    ]
    if usage:
        reported = {"prompt_tokens": 10, "completion_tokens": len(words), "total_tokens": 10 + len(words)}
        events.append(b"data: " + orjson.dumps({"choices": [], "usage": reported}))
    if done:
        events.append(b"data: [DONE]")
    chunks = [event + b"\n\n" for event in events]
    return Script(chunks=chunks, headers={"content-type": "text/event-stream"}, **script)  # type: ignore[arg-type]

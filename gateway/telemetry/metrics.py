"""Counts what requests cost and how they ended, and exposes it to Prometheus.

All counters of a request come from its record, once, when it has ended: so the sum over a process's life equals the sum
of its records and what the ledger booked (law 4). A request costs a few dictionary look-ups and integer additions on
the event loop's thread: about 4 us, where the library's own children, bound once, take 9 (docs/decisions/0050).
"""

from __future__ import annotations

import platform
from collections import Counter as Tally
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from gateway.domain.catalog import Snapshot
from gateway.domain.faults import FailureKind
from gateway.domain.record import AttemptRecord, Outcome, UsageRecord
from gateway.domain.refusal import RefusalCode
from gateway.domain.route import Reason
from gateway.telemetry import catalogue as rows
from gateway.telemetry.accounts import Account
from gateway.telemetry.budgets import budget_families
from gateway.telemetry.catalogue import Labels
from gateway.telemetry.histogram import Histogram
from gateway.telemetry.labels import NONE, OTHER, CappedNames, DeclaredNames, RecentSessions
from gateway.telemetry.states import state_families
from gateway.telemetry.views import Views

TEAMS_MAX = 200  # distinct team labels of one process; later teams share "other"
REASONS_MAX = 64  # distinct denial reasons; the server's set is closed, this is the belt
SESSIONS_MAX = 20_000  # per generation; about 4 MB in all
ROUTE_REASONS = {str(reason): str(reason) for reason in Reason}
FAILURES = {str(kind): str(kind) for kind in FailureKind}
REFUSALS = {str(code): str(code) for code in RefusalCode}
DENIED = frozenset(
    {
        Outcome.BUDGET_DENIED,
        Outcome.RATE_LIMITED,
        Outcome.INVALID,
        Outcome.NOT_ALLOWED,
        Outcome.NO_BACKEND,
        Outcome.UNAVAILABLE,
    }
)
REACHED = frozenset({Outcome.SERVED, Outcome.CLIENT_LEFT, Outcome.INCOMPLETE})
WATCHED_DENIALS = (  # exposed as 0 from the start, so that the first one is seen as an increase
    RefusalCode.BUDGET_EXHAUSTED,
    RefusalCode.RATE_LIMIT_EXCEEDED,
    RefusalCode.INVALID_API_KEY,
    RefusalCode.NO_BACKEND,
    RefusalCode.LEDGER_UNAVAILABLE,
    RefusalCode.OVERLOADED,
)


class Metrics(Collector):
    """Implements `ports.Signals`. One per process, on a registry of its own."""

    def __init__(
        self, *, snapshot: Snapshot, version: str, views: Views | None = None, teams_max: int = TEAMS_MAX
    ) -> None:
        self._views = views or Views()
        self._version = version
        self._models = DeclaredNames()
        self._backends = DeclaredNames([NONE])
        self._classes = DeclaredNames()
        self._teams = CappedNames(teams_max)
        self._reasons = CappedNames(REASONS_MAX)
        self._backend_of: dict[str, str] = {}
        self._sessions = RecentSessions(SESSIONS_MAX)
        self._accounts: dict[Labels, Account] = {}
        self._requests: Tally[Labels] = Tally()
        self._baselines: Tally[Labels] = Tally()
        self._interactions: Tally[Labels] = Tally()
        self._sla: Tally[Labels] = Tally()
        self._decisions: Tally[Labels] = Tally()
        self._upstream_errors: Tally[Labels] = Tally()
        self._denials: Tally[Labels] = Tally({(self._reasons.label(reason),): 0 for reason in WATCHED_DENIALS})
        self._ttft: dict[Labels, Histogram] = {}
        self._tpot: dict[Labels, Histogram] = {}
        self._durations: dict[Labels, Histogram] = {}
        self._ledger: dict[Labels, Histogram] = {}
        self._overhead = rows.OVERHEAD.new()
        self._lag = rows.LAG.new()
        self._streams = 0
        self._reload_ok = True
        self.apply(snapshot)
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(self)
        ProcessCollector(registry=self.registry)

    def apply(self, snapshot: Snapshot) -> None:
        """Learn the names of a snapshot that came into force."""
        self._snapshot = snapshot
        self._models.learn(snapshot.models)
        self._backends.learn(snapshot.backends)
        self._classes.learn(snapshot.classes)
        for backend in snapshot.backends:  # a tally's update adds: zeros make the first of each an increase to see
            self._sla.update({(name, backend, met): 0 for name in snapshot.classes for met in ("true", "false")})
            self._upstream_errors.update({(backend, kind): 0 for kind in FAILURES})
        self._backend_of.update(
            (member.name, member.backend) for model in snapshot.models.values() for member in model.members
        )

    def reloaded(self, ok: bool) -> None:
        """A reload was tried; False: refused, the old snapshot serves on."""
        self._reload_ok = ok

    def ended(self, record: UsageRecord) -> None:
        """Count a request from its finished record."""
        model = self._models.label(record.model)
        backend = self._backends.label(record.backend or NONE)
        team = self._teams.label(record.team)
        self._requests[model, backend, team, record.outcome] += 1
        for attempt in record.attempts:
            self._attempted(attempt, model, team)
        for member, reason in record.passed_over.items():
            self._decided(model, self._backend_of.get(member, ""), reason)
        self._timed(record, model, backend)
        self._judged(record, backend)
        self._baselines[model, "dearest"] += baseline_nanos(record)
        if record.outcome in REACHED and (record.session is None or self._sessions.is_new(record.team, record.session)):
            self._interactions[model, team] += 1

    def refused(self, reason: str) -> None:
        """Count a request that was turned away before it had a record."""
        self._denials[(self._reasons.label(reason),)] += 1

    def streams(self, change: int) -> None:
        """A stream to a client began (+1) or ended (-1)."""
        self._streams += change

    @property
    def open_streams(self) -> int:
        """Streams to clients that are open now."""
        return self._streams

    def ledger_took(self, step: str, seconds: float) -> None:
        """A step of the ledger (reserve, settle, release, expire) took this long, its wait included."""
        observe(self._ledger, (step,), rows.LEDGER, seconds)

    def loop_lagged(self, seconds: float) -> None:
        """The event loop was this late; see lag.py."""
        self._lag.observe(seconds)

    def expose(self, accept: str = "") -> tuple[bytes, str]:
        """The exposition and its content type, in the format that an Accept header asks for."""
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type

    def _attempted(self, attempt: AttemptRecord, model: str, team: str) -> None:
        backend = self._backends.label(attempt.backend)
        key = (model, backend, team)
        account = self._accounts.get(key)
        if account is None:
            account = self._accounts[key] = Account()
        account.add(attempt)
        self._decided(model, backend, attempt.reason)
        if attempt.error is not None:
            self._upstream_errors[backend, FAILURES.get(attempt.error, OTHER)] += 1

    def _decided(self, model: str, backend: str, reason: str) -> None:
        self._decisions[model, self._backends.label(backend), ROUTE_REASONS.get(reason, OTHER)] += 1

    def _judged(self, record: UsageRecord, backend: str) -> None:
        if record.sla_met is not None:
            sla_class = self._classes.label(record.sla_class)
            self._sla[sla_class, backend, "true" if record.sla_met else "false"] += 1
        if record.outcome in DENIED:
            self._denials[(REFUSALS.get(record.error_code or "", record.outcome),)] += 1

    def _timed(self, record: UsageRecord, model: str, backend: str) -> None:
        key = (model, backend)
        observe(self._durations, key, rows.DURATION, record.duration_ms / 1_000)
        if record.ttft_ms is not None:
            observe(self._ttft, key, rows.TTFT, record.ttft_ms / 1_000)
        if record.tpot_ms is not None:
            observe(self._tpot, key, rows.TPOT, record.tpot_ms / 1_000)
        if record.attempts:
            self._overhead.observe(record.overhead_ms / 1_000)

    def collect(self) -> Iterator[Metric]:
        """Everything, as it stands. Copies each dictionary before walking it, so another thread may scrape."""
        yield from self._counted()
        yield from self._timings()
        yield from self._states()

    def _counted(self) -> Iterator[Metric]:
        accounts = tuple(self._accounts.items())
        yield rows.REQUESTS.family(tuple(self._requests.items()))
        yield rows.TOKENS.family(
            ((*labels, kind), tokens) for labels, account in accounts for kind, tokens in account.tokens_by_kind()
        )
        yield rows.COST.family((labels, account.usd_nanos) for labels, account in accounts)
        yield rows.ENERGY.family(
            sample
            for labels, account in accounts
            if account.metered
            for sample in (((*labels, "marginal"), account.marginal_mj), ((*labels, "base"), account.base_mj))
        )
        yield rows.CARBON.family((labels, account.carbon_ug) for labels, account in accounts if account.carbon_known)
        yield rows.BASELINE.family(tuple(self._baselines.items()))
        yield rows.INTERACTIONS.family(tuple(self._interactions.items()))
        yield rows.SLA.family(tuple(self._sla.items()))
        yield rows.DECISIONS.family(tuple(self._decisions.items()))
        yield rows.DENIALS.family(tuple(self._denials.items()))
        yield rows.UPSTREAM_ERRORS.family(tuple(self._upstream_errors.items()))

    def _timings(self) -> Iterator[Metric]:
        yield rows.TTFT.family(tuple(self._ttft.items()))
        yield rows.TPOT.family(tuple(self._tpot.items()))
        yield rows.DURATION.family(tuple(self._durations.items()))
        yield rows.OVERHEAD.family([((), self._overhead)])
        yield rows.LEDGER.family(tuple(self._ledger.items()))
        yield rows.LAG.family([((), self._lag)])

    def _states(self) -> Iterator[Metric]:
        yield from state_families(self._views)
        yield from budget_families(self._views, self._snapshot.budgets)
        yield rows.STREAMS.family([((), self._streams)])
        yield rows.RELOAD.family([((), int(self._reload_ok))])
        yield rows.BUILD.family([((self._version, platform.python_version()), 1)])


def baseline_nanos(record: UsageRecord) -> int:
    """What the dearest member would have cost; unknown, the request saved nothing, or the difference would lie."""
    if record.baseline_dearest_usd_nanos is not None:
        return record.baseline_dearest_usd_nanos
    return sum(attempt.rated.usd_nanos for attempt in record.attempts if attempt.rated)


def observe(histograms: dict[Labels, Histogram], key: Labels, row: rows.Distribution, seconds: float) -> None:
    """Observe on the label set's histogram, made at its first use."""
    histogram = histograms.get(key)
    if histogram is None:
        histogram = histograms[key] = row.new()
    histogram.observe(seconds)

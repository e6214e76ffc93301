"""The pipeline with everything that learns, put together from ports."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.domain.catalog import Snapshot
from gateway.metering.estimate import InputEstimator
from gateway.metering.lengths import OutputLengths
from gateway.metering.ratios import Ratios
from gateway.pipeline.aftercare import Aftercare
from gateway.pipeline.attempts import Attempts
from gateway.pipeline.books import Books
from gateway.pipeline.closing import Closer
from gateway.pipeline.draining import Drainer
from gateway.pipeline.pipeline import Pipeline
from gateway.pipeline.quoting import Quoter
from gateway.pipeline.relay import Relay
from gateway.policy.claims import Claims
from gateway.policy.router import Router
from gateway.ports import Clock, Ledger, Policies, Recorder, Signals, TokenCounter, Upstreams


class ClaimsOf:
    """The claims of a snapshot, compiled once and kept while it is in force. Also knows a tenant's slot tag."""

    def __init__(self) -> None:
        self._of: tuple[Snapshot, Claims] | None = None

    def __call__(self, snapshot: Snapshot) -> Claims:
        """Claims of this snapshot; requests that began under an older one have it compiled again."""
        if self._of is None or self._of[0] is not snapshot:
            self._of = (snapshot, Claims(snapshot.budgets, snapshot.tenancy_root))
        return self._of[1]


@dataclass(frozen=True, slots=True)
class Core:
    """A pipeline and the parts of it that others look at."""

    pipeline: Pipeline
    router: Router
    books: Books
    aftercare: Aftercare
    claims: ClaimsOf


def build_core(
    *,
    clock: Clock,
    policies: Policies,
    ledger: Ledger,
    upstreams: Upstreams,
    recorder: Recorder,
    signals: Signals,
    counter: TokenCounter,
    router: Router,
    books: Books,
    gateway: str,
) -> Core:
    """One request's way, wired."""
    aftercare, claims = Aftercare(), ClaimsOf()
    estimator, lengths = InputEstimator(counter, Ratios()), OutputLengths()
    attempts = Attempts(
        clock=clock,
        ledger=ledger,
        upstreams=upstreams,
        router=router,
        relay=Relay(clock=clock, ledger=ledger, router=router, estimator=estimator, aftercare=aftercare),
        closer=Closer(ledger=ledger, router=router, estimator=estimator, lengths=lengths),
        books=books,
        aftercare=aftercare,
        drainer=Drainer(),
        claims=claims,
    )
    pipeline = Pipeline(
        clock=clock,
        policies=policies,
        ledger=ledger,
        recorder=recorder,
        signals=signals,
        quoter=Quoter(estimator=estimator, lengths=lengths),
        attempts=attempts,
        aftercare=aftercare,
        claims=claims,
        gateway=gateway,
    )
    return Core(pipeline, router, books, aftercare, claims)

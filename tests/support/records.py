"""Finished records as the pipeline would hand them on; a test says only what matters to it."""

from __future__ import annotations

from typing import Any

from gateway.domain.amounts import Amounts
from gateway.domain.catalog import Backend, Member, ServedModel, SlaClass, Snapshot
from gateway.domain.profile import Rates
from gateway.domain.record import AttemptRecord, AttemptResult, Outcome, UsageRecord
from gateway.domain.usage import Basis, TokenUsage


def a_snapshot(*backends: str, models: tuple[str, ...] = ("chat",), **more: Any) -> Snapshot:
    """Models served by one member on each backend."""
    names = backends or ("cheap", "dear")
    members = tuple(a_member(backend) for backend in names)
    return Snapshot(
        version="1",
        models={model: ServedModel(model, members) for model in models},
        backends={name: Backend(name, f"http://{name}.example/v1") for name in names},
        classes={"interactive": SlaClass("interactive", ttft_ms=1_500)},
        default_class="interactive",
        **more,
    )


def a_member(backend: str) -> Member:
    rates = Rates("p", "1", (), None, 0, None, None, 0, "C", "facility", 1.5, None)
    return Member(f"{backend}/llama", backend, "llama", rates)


def a_usage(input_tokens: int = 100, output_tokens: int = 50, *, cached: int = 0, reasoning: int = 0) -> TokenUsage:
    return TokenUsage(input_tokens, cached, 0, output_tokens, reasoning, Basis.PROVIDER)


def amounts(usd_nanos: int = 0, energy_mj: int | None = None, carbon_ug: int | None = None) -> Amounts:
    return Amounts(usd_nanos, energy_mj, carbon_ug, 0, 1)


def an_attempt(backend: str = "cheap", **more: Any) -> AttemptRecord:
    attempt = AttemptRecord(1, backend, f"{backend}/llama", "llama", "cheapest", "p", "1", AttemptResult.SERVED, 200)
    for name, value in more.items():
        setattr(attempt, name, value)
    return attempt


def a_record(*attempts: AttemptRecord, **more: Any) -> UsageRecord:
    """A served request with these attempts, the last of which served it."""
    record = UsageRecord("r-1", 1_700_000_000_000, "chat", "k-1", "support", "default")
    record.model, record.sla_class, record.outcome, record.status = "chat", "interactive", Outcome.SERVED, 200
    record.attempts = list(attempts)
    record.backend = attempts[-1].backend if attempts else None
    for name, value in more.items():
        setattr(record, name, value)
    return record

"""An admin port with sample data around it, for the tests of this room."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import aiohttp

from gateway.domain.amounts import Amounts, Unit
from gateway.domain.budgets import BudgetStatus, WindowSpan
from gateway.domain.faults import BadDocument
from gateway.domain.record import AttemptRecord, AttemptResult, Outcome, UsageRecord
from gateway.domain.tenancy import Identity
from gateway.domain.usage import Basis, TokenUsage
from gateway.server.admin import AdminServer
from gateway.server.offices import Change, Json, Offices
from gateway.server.overview import BackendView, BudgetView, Overview, Totals
from gateway.server.recent import Recent

TOKEN = "correct-horse-battery"
NOW_MS = 1_764_000_000_000


class FakeKeys:
    def __init__(self) -> None:
        self.identities = {"k-1": Identity(key_id="k-1", team="support", name="bot")}

    async def list(self) -> Sequence[Identity]:
        return list(self.identities.values())

    async def create(self, identity: Identity) -> str:
        self.identities[identity.key_id] = identity
        return "jg-secret-once"

    async def revoke(self, key_id: str) -> bool:
        return self.identities.pop(key_id, None) is not None


class Office:
    """Sample data that moves as time goes by: `step` counts overviews."""

    def __init__(self) -> None:
        self.keys = FakeKeys()
        self.changes: list[Change] = []
        self.states = {"store": True, "policies": True, "backend_up": True}
        self.bad_document: str | None = None
        self.draining = asyncio.Event()
        self.recent = Recent()
        for number in range(12):
            self.recent.add(a_record(number))
        self.step = 0
        self.tick_ms = 2_000
        self.offices = Offices(
            metrics=lambda accept: (b"# HELP joulegate_up 1\n", f"text/plain; for={accept}"),
            checks=self._checks,
            overview=self._overview,
            keys=self.keys,
            teams=self._teams,
            budgets=self._budgets,
            usage=self._usage,
            backends=lambda: backends(self.step),
            policies=lambda: {"version": "v7", "models": ["chat"]},
            reload=self._reload,
            decision=self.recent.decision,
            audit=self.changes.append,
            new_id=lambda: "k-new",
            wall_ms=lambda: NOW_MS,
        )

    async def _checks(self) -> Mapping[str, bool]:
        return self.states

    async def _overview(self) -> Overview:
        self.step += 1
        return an_overview(self.step, self.tick_ms, self.recent, draining=self.draining.is_set())

    async def _teams(self) -> Sequence[Json]:
        return [{"team": "support", "keys": 1}]

    async def _budgets(self) -> Sequence[BudgetStatus]:
        window = WindowSpan("2026-11", 1_000, 2_000)
        return [BudgetStatus("support-month", "team:support", window, {Unit.USD_NANOS: 10**9}, {Unit.USD_NANOS: 10**8})]

    async def _usage(self, team: str | None) -> Sequence[Json]:
        return [{"team": team or "all", "usd": 1.5}]

    async def _reload(self) -> str:
        if self.bad_document is not None:
            raise BadDocument(self.bad_document)
        return "v8"


def a_record(number: int) -> UsageRecord:
    """One ended request; every fifth was refused for its budget."""
    record = UsageRecord(
        request_id=f"req-{number}",
        started_wall_ms=NOW_MS + number * 1_700,
        kind="chat",
        key_id="k-1",
        team=("support", "sales", "research")[number % 3],
        org="default",
        client_request_id=f"mine-{number}",
        model="chat",
        outcome=Outcome.SERVED,
        status=200,
        usage=TokenUsage(input_tokens=400, output_tokens=180 + number, basis=Basis.PROVIDER),
        rated=Amounts(usd_nanos=212_000 + number * 9_000, energy_mj=61_000 + number * 800, carbon_ug=9_000, tokens=580),
        backend=("gpu-a", "gpu-b", "hosted")[number % 3],
        ttft_ms=140.0 + 11 * number,
        duration_ms=1_900.0 + 250 * number,
        candidates=["gpu-a/llama", "hosted/llama"],
        passed_over={"hosted/llama": "dearer", "gpu-b/llama": "misses_sla"},
    )
    if number % 5 == 4:
        record.outcome, record.status, record.backend, record.error_code = (
            Outcome.BUDGET_DENIED,
            402,
            None,
            "budget_exhausted",
        )
        record.rated, record.ttft_ms, record.usage, record.duration_ms = None, None, TokenUsage(), 1.0
    else:
        attempt = AttemptRecord(
            1, record.backend or "", f"{record.backend}/llama", "llama", "cheapest_in_sla", "p", "1"
        )
        attempt.result = AttemptResult.SERVED
        record.attempts.append(attempt)
    return record


def backends(step: int) -> Sequence[BackendView]:
    def view(
        name: str, state: str, in_flight: int, watts: float | None, ttft_ms: float | None, requests: int
    ) -> BackendView:
        return BackendView(
            name=name,
            state=state,
            in_flight=in_flight,
            concurrent_max=64,
            watts=watts,
            ttft_ms=ttft_ms,
            requests=requests,
            models=["llama-70b"],
            simulated=True,
        )

    return [
        view("gpu-a", "up", 21 + step % 7, 2_310.0, 181.0, 40 * step),
        view("gpu-b", "degraded", 3, 905.0, 420.0, 9 * step),
        view("hosted", "up", 5, None, 260.0, 14 * step),
        view("old-rack", "down", 0, None, None, 3),
    ]


def an_overview(step: int, tick_ms: int, recent: Recent, *, draining: bool) -> Overview:
    wave = 1 + math.sin(step / 4) / (4 + step)
    return Overview(
        at_ms=NOW_MS + step * tick_ms,
        since_ms=NOW_MS - 3_600_000,
        version="0.1.0",
        policy_version="v7",
        draining=draining,
        streams=17,
        totals=Totals(
            requests=63 * step + int(9 * wave * step),
            served=60 * step,
            refused=3 * step,
            usd=0.0211 * step * wave,
            saved_usd=0.0307 * step,
            joules=4_870.0 * step * wave,
            grams=0.71 * step,
            input_tokens=24_000 * step,
            output_tokens=10_900 * step,
            sla_met=59 * step,
            sla_missed=step // 2,
        ),
        budgets=[
            BudgetView(
                name="support-month",
                counter="team:support",
                unit="usd",
                limit=250.0,
                spent=163.4,
                held=2.1,
                mode="enforce",
                resets_ms=NOW_MS + 6 * 86_400_000,
            ),
            BudgetView(
                name="sales-day",
                counter="team:sales",
                unit="usd",
                limit=20.0,
                spent=17.9,
                held=0.4,
                mode="enforce",
                resets_ms=NOW_MS + 5 * 3_600_000,
            ),
            BudgetView(
                name="research-day",
                counter="team:research",
                unit="tokens",
                limit=2_000_000,
                spent=2_000_000,
                held=0,
                mode="enforce",
                resets_ms=NOW_MS + 5 * 3_600_000,
            ),
            BudgetView(
                name="support-energy",
                counter="team:support",
                unit="joules",
                limit=18_000_000,
                spent=4_100_000,
                held=60_000,
                mode="observe",
                resets_ms=None,
            ),
        ],
        backends=list(backends(step)),
        requests=recent.last(20),
    )


class Desk:
    """A started admin port, and a client for it."""

    def __init__(self, office: Office, server: AdminServer, url: str, session: aiohttp.ClientSession):
        self.office = office
        self.server = server
        self.url = url
        self.session = session

    async def ask(
        self, method: str, path: str, *, token: str | None = TOKEN, body: bytes | None = None, accept: str = "*/*"
    ) -> tuple[int, bytes, Mapping[str, str]]:
        headers = {"accept": accept} | ({} if token is None else {"authorization": f"Bearer {token}"})
        async with self.session.request(method, self.url + path, headers=headers, data=body) as answer:
            return answer.status, await answer.read(), answer.headers


@asynccontextmanager
async def a_desk(office: Office | None = None) -> AsyncIterator[Desk]:
    """An admin port on a free port of loopback."""
    chosen = office or Office()
    server = AdminServer(token=TOKEN, offices=chosen.offices, draining=chosen.draining)
    bound = await server.start("127.0.0.1", 0)
    assert isinstance(bound, tuple)
    try:
        async with aiohttp.ClientSession() as session:
            yield Desk(chosen, server, f"http://{bound[0]}:{bound[1]}", session)
    finally:
        await server.close()

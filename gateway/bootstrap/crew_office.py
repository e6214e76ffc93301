"""Fills the admin port's offices of a supervised gateway: rules and keys itself, everything else from the workers."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import quote

from gateway import __version__
from gateway.bootstrap.crew import Crew
from gateway.bootstrap.merge import expose
from gateway.bootstrap.office import LAST_REQUESTS, budget_views, log_change, policies_json, team_rows
from gateway.bootstrap.reload import Rules
from gateway.domain.budgets import BudgetStatus
from gateway.domain.faults import BadDocument
from gateway.ledger.ids import new_id
from gateway.ports import Clock
from gateway.server.offices import Json, KeyDesk, Offices
from gateway.server.overview import BackendView, Overview, RequestView, Totals
from gateway.telemetry.logs import Log

STATE_ORDER = ("up", "degraded", "down")  # the worst that a worker sees is told
NO_TOTALS = Totals(
    requests=0,
    served=0,
    refused=0,
    usd=0.0,
    saved_usd=0.0,
    joules=0.0,
    grams=0.0,
    input_tokens=0,
    output_tokens=0,
    sla_met=0,
    sla_missed=0,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class CrewOffice:
    """What the admin port asks of all workers together. announce_reload: has the workers read everything again."""

    clock: Clock
    rules: Rules
    crew: Crew
    keys: KeyDesk
    statuses: Callable[[], Awaitable[Sequence[BudgetStatus]]]
    announce_reload: Callable[[], None]
    draining: asyncio.Event
    started_ms: int
    log: Log

    def offices(self) -> Offices:
        """As the admin port takes them."""
        return Offices(
            metrics=self.metrics,
            checks=self.checks,
            overview=self.overview,
            keys=self.keys,
            teams=self.teams,
            budgets=self.statuses,
            usage=self.usage,
            backends=self.backends,
            policies=lambda: policies_json(self.rules),
            reload=self.reload,
            decision=self.decision,
            audit=lambda change: log_change(self.log, change),
            new_id=lambda: new_id(self.clock.wall_ms(), os.urandom(10)),
            wall_ms=self.clock.wall_ms,
        )

    async def metrics(self, accept: str) -> tuple[bytes, str]:
        """All workers' figures as one."""
        return expose(await self.crew.metrics(), accept)

    async def checks(self) -> Mapping[str, bool]:
        """A check holds if it holds in one worker: the port they share is served then."""
        answers = [_checks(answer) for answer in await self.crew.ask("/readyz")]
        names = {name for checks in answers for name in checks} - {"not_draining"}
        found = {name: any(checks.get(name, False) for checks in answers) for name in sorted(names)}
        return {"workers": bool(answers), **found}

    async def overview(self) -> Overview:
        """Sums of what the workers say."""
        views: list[Any] = list(await self.crew.ask("/admin/v1/overview"))
        modes = {budget.name: budget.mode.value for budget in self.rules.current().budgets}
        requests: list[RequestView] = [request for view in views for request in view["requests"]]
        return Overview(
            at_ms=self.clock.wall_ms(),
            since_ms=self.started_ms,
            version=__version__,
            policy_version=self.rules.current().version,
            draining=self.draining.is_set(),
            streams=sum(view["streams"] for view in views),
            totals=add_totals(view["totals"] for view in views),
            budgets=[row for status in await self.statuses() for row in budget_views(status, modes)],
            backends=merge_backends([view["backends"] for view in views]),
            requests=sorted(requests, key=lambda request: request["at_ms"], reverse=True)[:LAST_REQUESTS],
        )

    async def backends(self) -> Sequence[BackendView]:
        """Backends as all workers together see them."""
        return merge_backends([_data(answer) for answer in await self.crew.ask("/admin/v1/backends")])

    async def usage(self, team: str | None) -> Sequence[Json]:
        """Rows of all workers by team, model and backend."""
        query = "" if team is None else f"?team={quote(team)}"
        rows = [row for answer in await self.crew.ask(f"/admin/v1/usage{query}") for row in _data(answer)]
        return add_rows(rows, by=("team", "model", "backend"))

    async def teams(self) -> Sequence[Json]:
        """Teams that have keys or have asked for something."""
        spent = add_rows(await self.usage(None), by=("team",))
        return team_rows(
            await self.keys.list(), {str(row["team"]): (_number(row["requests"]), _number(row["usd"])) for row in spent}
        )

    async def decision(self, request_id: str) -> Json | None:
        """How one recent request was decided, by whichever worker it was."""
        for answer in await self.crew.ask(f"/admin/v1/decisions/{quote(request_id, safe='')}"):
            if isinstance(answer, dict) and "request_id" in answer:
                return answer
        return None

    async def reload(self) -> str:
        """Read everything again here; if it is good, the workers do so too. Raises BadDocument."""
        refused = await self.rules.reload()
        if refused is not None:
            raise BadDocument(refused)
        self.announce_reload()
        return self.rules.current().version


def add_totals(totals: Iterable[Totals]) -> Totals:
    """Sums, figure by figure."""
    summed: dict[str, Any] = dict(NO_TOTALS)
    for each in totals:
        for name, value in each.items():
            summed[name] += value
    return cast(Totals, summed)


def add_rows(rows: Iterable[Json], *, by: Sequence[str]) -> list[dict[str, object]]:
    """Rows that agree in `by`, as one: numbers are summed, other columns left out."""
    summed: dict[tuple[object, ...], dict[str, object]] = {}
    for row in rows:
        key = tuple(row[name] for name in by)
        into = summed.setdefault(key, dict(zip(by, key, strict=True)))
        for name, value in row.items():
            if name not in by and isinstance(value, int | float):
                into[name] = _number(into.get(name, 0)) + value
    return [summed[key] for key in sorted(summed, key=str)]


def merge_backends(workers: Sequence[Sequence[BackendView]]) -> list[BackendView]:
    """Loads and requests are summed; the worst state holds; power is modelled by each for the whole, so the most."""
    merged: dict[str, BackendView] = {}
    for view in (view for views in workers for view in views):
        if view["name"] not in merged:
            merged[view["name"]] = BackendView(**view)
            continue
        into = merged[view["name"]]
        into["in_flight"] += view["in_flight"]
        into["requests"] += view["requests"]
        into["state"] = max(into["state"], view["state"], key=STATE_ORDER.index)
        into["watts"] = _most(into["watts"], view["watts"])
        into["ttft_ms"] = _most(into["ttft_ms"], view["ttft_ms"])
    return list(merged.values())


def _most(one: float | None, other: float | None) -> float | None:
    known = [value for value in (one, other) if value is not None]
    return max(known) if known else None


def _number(value: object) -> float | int:
    return value if isinstance(value, int | float) else 0


def _data(answer: object) -> Any:
    return answer.get("data", []) if isinstance(answer, dict) else []


def _checks(answer: object) -> dict[str, bool]:
    found = answer.get("checks") if isinstance(answer, dict) else None
    return found if isinstance(found, dict) else {}

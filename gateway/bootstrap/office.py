"""Fills the admin port's offices from the rooms of one process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from gateway import __version__
from gateway.bootstrap.core import Core
from gateway.bootstrap.reload import Rules
from gateway.bootstrap.tally import Tally
from gateway.bootstrap.watts import PowerViews
from gateway.domain.amounts import MJ_PER_JOULE, NANOS_PER_USD, UG_PER_GRAM, Unit
from gateway.domain.budgets import BudgetStatus
from gateway.domain.faults import BadDocument
from gateway.domain.tenancy import Identity
from gateway.ports import Clock
from gateway.server.offices import Change, Json, KeyDesk, Offices
from gateway.server.overview import BackendView, BudgetView, Overview
from gateway.telemetry.logs import Log

MW_PER_WATT = 1_000
LAST_REQUESTS = 50
UNITS: Mapping[Unit, tuple[str, int]] = {
    Unit.USD_NANOS: ("usd", NANOS_PER_USD),
    Unit.ENERGY_MJ: ("joules", MJ_PER_JOULE),
    Unit.CARBON_UG: ("grams", UG_PER_GRAM),
    Unit.TOKENS: ("tokens", 1),
    Unit.REQUESTS: ("requests", 1),
}
STATES = {"closed": "up", "half_open": "degraded", "open": "down"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Office:
    """What the admin port asks of one process.

    statuses: budgets where they stand. checks: readiness by name. metrics: exposition for an Accept header.
    """

    clock: Clock
    rules: Rules
    core: Core
    tally: Tally
    power: PowerViews
    keys: KeyDesk
    statuses: Callable[[], Awaitable[Sequence[BudgetStatus]]]
    checks: Callable[[], Awaitable[Mapping[str, bool]]]
    metrics: Callable[[str], tuple[bytes, str]]
    streams: Callable[[], int]
    new_id: Callable[[], str]
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
            decision=self.tally.recent.decision,
            audit=lambda change: log_change(self.log, change),
            new_id=self.new_id,
            wall_ms=self.clock.wall_ms,
        )

    async def overview(self) -> Overview:
        """Everything the page draws."""
        snapshot = self.rules.current()
        modes = {budget.name: budget.mode.value for budget in snapshot.budgets}
        return Overview(
            at_ms=self.clock.wall_ms(),
            since_ms=self.started_ms,
            version=__version__,
            policy_version=snapshot.version,
            draining=self.draining.is_set(),
            streams=self.streams(),
            totals=self.tally.all.totals(),
            budgets=[view for status in await self.statuses() for view in budget_views(status, modes)],
            backends=list(self.backends()),
            requests=self.tally.recent.last(LAST_REQUESTS),
        )

    async def teams(self) -> Sequence[Json]:
        """Teams that have keys or have asked for something."""
        spent = {
            name: (sums.requests, sums.usd_nanos / NANOS_PER_USD) for name, sums in self.tally.spent_by_team().items()
        }
        return team_rows(await self.keys.list(), spent)

    async def usage(self, team: str | None) -> Sequence[Json]:
        """Rows by team, model and backend since the process began."""
        return self.tally.usage(team)

    def backends(self) -> Sequence[BackendView]:
        """Every backend of the snapshot in force."""
        snapshot = self.rules.current()
        serves: dict[str, set[str]] = {name: set() for name in snapshot.backends}
        for model in snapshot.models.values():
            for member in model.members:
                serves[member.backend].add(model.name)
        return [self._backend(name, sorted(models)) for name, models in serves.items()]

    def _backend(self, name: str, models: list[str]) -> BackendView:
        backend = self.rules.current().backends[name]
        milliwatts = self.power.power_mw(name)
        return BackendView(
            name=name,
            state=STATES[self.core.router.breaker(name).value],
            in_flight=self.core.router.in_flight(name),
            concurrent_max=backend.concurrent_max,
            watts=None if milliwatts is None else milliwatts / MW_PER_WATT,
            ttft_ms=self.tally.ttft_ms.get(name),
            requests=self.tally.by_backend.get(name, 0),
            models=models,
            simulated=backend.simulated,
        )

    async def reload(self) -> str:
        """Read everything again; the version in force. Raises BadDocument."""
        refused = await self.rules.reload()
        if refused is not None:
            raise BadDocument(refused)
        return self.rules.current().version


def log_change(log: Log, change: Change) -> None:
    """A line in the log for each change over the admin port: the audit trail."""
    log.info("admin_change", step=change.action, path=change.target, host=change.peer, reason=change.outcome)


def team_rows(keys: Sequence[Identity], spent: Mapping[str, tuple[float, float]]) -> list[dict[str, object]]:
    """A row per team; `spent`: requests and dollars by team."""
    return [
        {
            "team": name,
            "keys": sum(identity.team == name for identity in keys),
            "requests": spent.get(name, (0, 0.0))[0],
            "usd": spent.get(name, (0, 0.0))[1],
        }
        for name in sorted({identity.team for identity in keys} | spent.keys())
    ]


def policies_json(rules: Rules) -> Json:
    """The rules in force, in words."""
    snapshot = rules.current()
    return {
        "version": snapshot.version,
        "files": [str(path) for path in rules.assembly.files],
        "models": {
            name: {
                "members": [member.name for member in model.members],
                "objective": model.objective.value,
                "class": model.sla_class or snapshot.default_class,
            }
            for name, model in snapshot.models.items()
        },
        "classes": sorted(snapshot.classes),
        "budgets": [budget.name for budget in snapshot.budgets],
    }


def budget_views(status: BudgetStatus, modes: Mapping[str, str]) -> list[BudgetView]:
    """One row for each unit a budget is limited in."""
    return [
        BudgetView(
            name=status.budget,
            counter=status.key,
            unit=UNITS[unit][0],
            limit=limit / UNITS[unit][1],
            spent=status.spent.get(unit, 0) / UNITS[unit][1],
            held=status.held.get(unit, 0) / UNITS[unit][1],
            mode=modes.get(status.budget, "enforce"),
            resets_ms=status.window.end_ms,
        )
        for unit, limit in status.limits.items()
        if unit in UNITS
    ]

"""What this process has served so far, for the admin port: totals, and rows by team, model and backend."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateway.domain.amounts import MJ_PER_JOULE, NANOS_PER_USD, UG_PER_GRAM
from gateway.domain.record import Outcome, UsageRecord
from gateway.ports import Recorder
from gateway.server.overview import Totals
from gateway.server.recent import Recent

TTFT_WEIGHT = 0.1  # of the newest request in the moving mean that the page shows
ROWS_MAX = 10_000  # teams times models times backends; beyond it new ones share the row of OTHER
OTHER = ("other", "other", "other")
NOT_REFUSED = frozenset({Outcome.SERVED, Outcome.CLIENT_LEFT, Outcome.INCOMPLETE})
Row = tuple[str, str, str]


@dataclass(slots=True)
class Sums:
    """Integers of one row since the process began."""

    requests: int = 0
    served: int = 0
    refused: int = 0
    usd_nanos: int = 0
    dearest_usd_nanos: int = 0
    energy_mj: int = 0
    carbon_ug: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    sla_met: int = 0
    sla_missed: int = 0

    def add(self, record: UsageRecord) -> None:
        """Count one finished request, all its attempts included."""
        self.requests += 1
        self.served += record.outcome is Outcome.SERVED
        self.refused += record.outcome not in NOT_REFUSED
        rated = record.rated
        if rated is not None:
            self.usd_nanos += rated.usd_nanos
            dearest = record.baseline_dearest_usd_nanos
            self.dearest_usd_nanos += rated.usd_nanos if dearest is None else dearest
            self.energy_mj += rated.energy_mj or 0
            self.carbon_ug += rated.carbon_ug or 0
        self.input_tokens += record.usage.input_tokens
        self.output_tokens += record.usage.output_tokens
        self.sla_met += record.sla_met is True
        self.sla_missed += record.sla_met is False

    def totals(self) -> Totals:
        """In dollars, joules and grams."""
        return Totals(
            requests=self.requests,
            served=self.served,
            refused=self.refused,
            usd=self.usd_nanos / NANOS_PER_USD,
            saved_usd=(self.dearest_usd_nanos - self.usd_nanos) / NANOS_PER_USD,
            joules=self.energy_mj / MJ_PER_JOULE,
            grams=self.carbon_ug / UG_PER_GRAM,
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            sla_met=self.sla_met,
            sla_missed=self.sla_missed,
        )


class Tally:
    """Implements `ports.Recorder`: adds each record up, keeps the last ones, tells others, and passes it on."""

    def __init__(
        self, recorder: Recorder, recent: Recent, *, told: Sequence[Callable[[UsageRecord], None]] = ()
    ) -> None:
        self._recorder = recorder
        self._told = told
        self.recent = recent
        self.all = Sums()
        self.by_backend: dict[str, int] = {}
        self.ttft_ms: dict[str, float] = {}
        self._rows: dict[Row, Sums] = {}

    def record(self, record: UsageRecord) -> None:
        """Count it here, then give it to the one who writes."""
        self.all.add(record)
        row = (record.team, record.model or "unknown", record.backend or "none")
        self.by_backend[row[2]] = self.by_backend.get(row[2], 0) + 1
        self._row(row).add(record)
        self.recent.add(record)
        if record.ttft_ms is not None:
            before = self.ttft_ms.get(row[2], record.ttft_ms)
            self.ttft_ms[row[2]] = before + TTFT_WEIGHT * (record.ttft_ms - before)
        for tell in self._told:
            tell(record)
        self._recorder.record(record)

    def healthy(self) -> bool:
        """Whether the one who writes is."""
        return self._recorder.healthy()

    def _row(self, row: Row) -> Sums:
        if row not in self._rows:
            row = row if len(self._rows) < ROWS_MAX else OTHER
        return self._rows.setdefault(row, Sums())

    def usage(self, team: str | None) -> Sequence[dict[str, object]]:
        """Rows by team, model and backend; of one team only where it is named."""
        return [
            {"team": row[0], "model": row[1], "backend": row[2], **sums.totals()}
            for row, sums in sorted(self._rows.items())
            if team in (None, row[0])
        ]

    def spent_by_team(self) -> dict[str, Sums]:
        """Requests and spend of each team that asked for something."""
        teams: dict[str, Sums] = {}
        for (team, _, _), sums in self._rows.items():
            whole = teams.setdefault(team, Sums())
            for name in Sums.__slots__:
                setattr(whole, name, getattr(whole, name) + getattr(sums, name))
        return teams

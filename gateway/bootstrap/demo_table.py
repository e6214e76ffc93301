"""What the demo shows: figures read from the gateway's own /metrics, as any Prometheus would, and a table of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families
from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table

Labels = tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Line:
    """One backend's figures since the gateway started."""

    requests: int = 0
    usd: float = 0.0
    joules: float = 0.0
    grams: float = 0.0
    output_tokens: int = 0
    met: int = 0
    missed: int = 0
    ttft: dict[float, float] = field(default_factory=lambda: defaultdict(float))  # bucket bound: cumulative count

    @property
    def sla(self) -> float | None:
        """Share of served requests that met their class."""
        counted = self.met + self.missed
        return self.met / counted if counted else None


@dataclass(slots=True)
class Budget:
    """One declared budget's window, in the unit it is limited in."""

    unit: str
    limit: float = 0.0
    spent: float = 0.0
    held: float = 0.0


@dataclass(slots=True)
class Figures:
    """Everything the table needs."""

    lines: dict[str, Line] = field(default_factory=lambda: defaultdict(Line))
    budgets: dict[str, Budget] = field(default_factory=dict)
    outcomes: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    dearest_usd: float = 0.0

    @property
    def usd(self) -> float:
        """Rated cost of everything."""
        return sum(line.usd for line in self.lines.values())

    @property
    def requests(self) -> int:
        """Requests with a valid key, however they ended."""
        return sum(self.outcomes.values())

    @property
    def savings(self) -> float | None:
        """Share saved against the dearest member, or None before anything was spent."""
        return 1 - self.usd / self.dearest_usd if self.dearest_usd > 0 else None


def read_figures(exposition: str) -> Figures:
    """Figures from one scrape in Prometheus text format."""
    figures = Figures()
    for family in text_string_to_metric_families(exposition):
        for sample in family.samples:
            _add(figures, sample.name, sample.labels, sample.value)
    figures.lines.pop("none", None)
    return figures


def _add(figures: Figures, name: str, labels: Mapping[str, str], value: float) -> None:
    backend = labels.get("backend", "")
    if name == "joulegate_requests_total":
        figures.outcomes[labels["outcome"]] += int(value)
        figures.lines[backend].requests += int(value)
    elif name == "joulegate_cost_usd_total":
        figures.lines[backend].usd += value
    elif name == "joulegate_energy_joules_total":
        figures.lines[backend].joules += value
    elif name == "joulegate_carbon_grams_total":
        figures.lines[backend].grams += value
    elif name == "joulegate_tokens_total" and labels["kind"] in {"output", "reasoning"}:
        figures.lines[backend].output_tokens += int(value)
    elif name == "joulegate_sla_requests_total":
        line = figures.lines[backend]
        line.met, line.missed = (
            (line.met + int(value), line.missed) if labels["met"] == "true" else (line.met, line.missed + int(value))
        )
    elif name == "joulegate_time_to_first_token_seconds_bucket":
        figures.lines[backend].ttft[float(labels["le"])] += value
    elif name == "joulegate_baseline_cost_usd_total":
        figures.dearest_usd += value
    elif name.startswith("joulegate_budget_") and "budget" in labels:
        _add_budget(figures.budgets, name, labels["budget"], value)


def _add_budget(budgets: dict[str, Budget], name: str, budget: str, value: float) -> None:
    part, _, unit = name.removeprefix("joulegate_budget_").partition("_")
    if part not in {"limit", "spent", "held"}:
        return
    row = budgets.setdefault(f"{budget} ({unit})", Budget(unit))
    setattr(row, part, value)


def median(buckets: Mapping[float, float]) -> float | None:
    """The median of a cumulative histogram, linear inside its bucket; None without observations."""
    bounds = sorted(buckets)
    if not bounds or buckets[bounds[-1]] == 0:
        return None
    half, below, lower = buckets[bounds[-1]] / 2, 0.0, 0.0
    for bound in bounds:
        if buckets[bound] >= half:
            if bound == float("inf"):
                return lower
            return lower + (bound - lower) * (half - below) / (buckets[bound] - below)
        below, lower = buckets[bound], bound
    return None


HOW_TO_READ = """\
dollars: rated, as in headers and budgets
joules, grams: attributed, with each request's share of the power floor
in SLA: kept its class's latency; TTFT p50: median time to the first token"""


def table(figures: Figures) -> RenderableType:
    """Two tables: backends with a total, and budgets; and the savings in words."""
    backends = _empty(("backend", "requests", "dollars", "joules", "g CO2e", "J/token", "in SLA", "TTFT p50"))
    for cells in backend_rows(figures):
        backends.add_row(*cells)
    budgets = _empty(("budget", "spent", "held", "limit", "used"))
    for cells in budget_rows(figures):
        budgets.add_row(*cells)
    return Group(backends, budgets, closing_line(figures), HOW_TO_READ)


def _empty(headings: Sequence[str]) -> Table:
    """A table whose first column is a name and whose others are figures."""
    empty = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for index, heading in enumerate(headings):
        empty.add_column(heading, justify="right" if index else "left", no_wrap=True)
    return empty


def plain(figures: Figures) -> str:
    """One line for a log: no terminal, no table."""
    shares = " ".join(f"{name}={line.requests}" for name, line in sorted(figures.lines.items()))
    joules = sum(line.joules for line in figures.lines.values())
    return f"requests={figures.requests} {shares} dollars={figures.usd:.6f} joules={joules:.1f} {closing_line(figures)}"


def backend_rows(figures: Figures) -> Iterable[tuple[str, ...]]:
    """Cells of each backend, then of all."""
    everything = Line()
    for name, line in sorted(figures.lines.items()):
        yield _cells(name, line)
        for part in ("requests", "usd", "joules", "grams", "output_tokens", "met", "missed"):
            setattr(everything, part, getattr(everything, part) + getattr(line, part))
        for bound, count in line.ttft.items():
            everything.ttft[bound] += count
    yield _cells("all", everything)


def _cells(name: str, line: Line) -> tuple[str, ...]:
    ttft = median(line.ttft)
    return (
        name,
        str(line.requests),
        f"${line.usd:.6f}",
        f"{line.joules:.0f}",
        f"{line.grams:.3f}",
        f"{line.joules / line.output_tokens:.3f}" if line.output_tokens else "-",
        "-" if line.sla is None else f"{line.sla:.1%}",
        "-" if ttft is None else f"{ttft * 1_000:.0f} ms",
    )


def budget_rows(figures: Figures) -> Iterable[tuple[str, ...]]:
    """Cells of each budget and unit."""
    for name, budget in sorted(figures.budgets.items()):
        used = (budget.spent + budget.held) / budget.limit if budget.limit else 0.0
        digits = 6 if budget.unit == "usd" else 1
        yield (
            name,
            f"{budget.spent:.{digits}f}",
            f"{budget.held:.{digits}f}",
            f"{budget.limit:.{digits}f}",
            f"{used:.0%}",
        )


def closing_line(figures: Figures) -> str:
    """Savings and refusals in words."""
    saved = "-" if figures.savings is None else f"{figures.savings:.0%}"
    denied = figures.outcomes.get("budget_denied", 0)
    return f"saved against the dearest backend: {saved}; refused, budget spent (402): {denied}"

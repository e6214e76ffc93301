"""Rounds of figures into medians, ratios to the forwarder, and a table."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

Rounds = Mapping[str, Sequence[Mapping[str, float]]]  # subject -> rounds -> figure


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. `against`: what a subject's figure is compared with, in the same round."""

    figure: str
    title: str
    form: str
    ratio_to: str | None = None
    minus: str | None = None
    target: float | None = None


ROWS = (
    Row("small_cpu_ms", "small JSON: CPU ms a request, with store", "{:.3f}", ratio_to="forwarder", target=1.6),
    Row("small_server_cpu_ms", "... of it the server", "{:.3f}"),
    Row("small_store_cpu_ms", "... of it the store (Valkey)", "{:.3f}"),
    Row("long_cpu_ms", "32 KB chat, first sight: CPU ms", "{:.3f}", ratio_to="forwarder", target=2.5),
    Row("long_store_cpu_ms", "... of it the store (Valkey)", "{:.3f}"),
    Row("long_again_cpu_ms", "32 KB chat, one more message: CPU ms", "{:.3f}", ratio_to="forwarder", target=1.7),
    Row("paced_cpu_ms", "small JSON at 150 requests/s: CPU ms", "{:.3f}", ratio_to="forwarder"),
    Row("paced_store_cpu_ms", "... of it the store (Valkey)", "{:.3f}"),
    Row("relay_us", "stream: CPU us a relayed chunk, 100 streams at 20/s", "{:.0f}", ratio_to="forwarder", target=1.3),
    Row("chunk_us", "... with the stream's request, usage and settling", "{:.0f}", ratio_to="forwarder"),
    Row("streams_chunk_us", "... the same, 500 streams", "{:.0f}", ratio_to="forwarder"),
    Row("small_rps", "small JSON: requests/s, 32 connections", "{:,.0f}", ratio_to="forwarder"),
    Row("paced_p50_ms", "p50 ms at 150 requests/s", "{:.2f}", minus="direct", target=1.0),
    Row("streams_p99_ms", "500 streams at 20/s: p99 ms a chunk is late", "{:.1f}", minus="direct", target=50.0),
    Row("streams_delivered", "500 streams: share of chunks that came", "{:.4f}"),
    Row("start_s", "start: seconds to the first answer", "{:.2f}", target=2.0),
    Row("start_cpu_s", "start: CPU seconds", "{:.2f}"),
    Row("server_mib", "resident MiB after load: server", "{:.0f}", target=140.0),
    Row("store_mib", "resident MiB after load: store", "{:.0f}"),
)


LITELLM_NOTE = (
    "\nLiteLLM is asked less: 10 requests/s where others get 150, 8 streams where they get 100, and none of the 500."
)


def table(rounds: Rounds) -> str:
    """Markdown: a median with lowest and highest, and what it is against the forwarder or against nothing between."""
    subjects = [name for name, figures in rounds.items() if figures]
    lines = [f"| | {' | '.join(subjects)} | target |", "|---|" + "---|" * (len(subjects) + 1)]
    for row in ROWS:
        cells = [_cell(row, name, rounds) for name in subjects]
        if any(cells):
            lines.append(f"| {row.title} | {' | '.join(cells)} | {_goal(row)} |")
    if "litellm" in subjects:
        lines.append(LITELLM_NOTE)
    return "\n".join(lines)


def summary(rounds: Rounds) -> dict[str, dict[str, float]]:
    """Medians, and medians of the ratios and differences of each round, for scripts."""
    found: dict[str, dict[str, float]] = {}
    for name in rounds:
        figures = {row.figure: _values(rounds, name, row.figure) for row in ROWS}
        found[name] = {figure: median(values) for figure, values in figures.items() if values}
        for row in ROWS:
            compared = _compared(row, name, rounds)
            if compared:
                found[name][f"{row.figure}_{'ratio' if row.ratio_to else 'added'}"] = median(compared)
    return found


def machine() -> dict[str, str]:
    """What was measured on, without names or paths."""
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "cpu": models[0].partition(":")[2].strip() if models else "unknown",
        "cores": str(os.cpu_count()),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def _cell(row: Row, name: str, rounds: Rounds) -> str:
    values = _values(rounds, name, row.figure)
    if not values:
        return ""
    form = row.form.format
    spread = f" [{form(min(values))}-{form(max(values))}]" if len(values) > 1 else ""
    compared = _compared(row, name, rounds)
    if not compared:
        return form(median(values)) + spread
    sign = f"**x{median(compared):.2f}**" if row.ratio_to else f"**{median(compared):+.2f}**"
    return f"{form(median(values))}{spread} {sign}"


def _compared(row: Row, name: str, rounds: Rounds) -> list[float]:
    """The figure against the other subject's of the same round."""
    other = row.ratio_to or row.minus
    if other is None or other == name or name == "direct":
        return []
    pairs = [
        (mine[row.figure], theirs[row.figure])
        for mine, theirs in zip(rounds[name], rounds.get(other, ()), strict=False)
        if row.figure in mine and row.figure in theirs
    ]
    return [mine / theirs if row.ratio_to else mine - theirs for mine, theirs in pairs]


def _values(rounds: Rounds, name: str, figure: str) -> list[float]:
    return [figures[figure] for figures in rounds[name] if figure in figures]


def _goal(row: Row) -> str:
    if row.target is None:
        return ""
    if row.ratio_to:
        return f"x{row.target:g}"
    return f"+{row.target:g}" if row.minus else f"{row.target:g}"

"""Where declared budgets stand: for `budgets list`, metrics, and a key's own view of its limits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, cast

from gateway.domain.amounts import Unit
from gateway.domain.budgets import Budget, BudgetStatus, Counter, WindowSpan
from gateway.ledger.channel import ScriptChannel
from gateway.ledger.codec import NOUGHT, prefix_of, standing_of, suffix_of
from gateway.ledger.redis import ROOTS_KEY
from gateway.policy.claims import budget_prefix
from gateway.policy.windows import TOTAL, span

BATCH: Final = 500


class Statuses:
    """Reads counters; never on the hot path, nor on its channel. Raises LedgerUnavailable when Redis is away."""

    def __init__(self, channel: ScriptChannel):
        self._channel = channel

    async def of_budgets(self, budgets: Iterable[Budget], now_ms: int) -> list[BudgetStatus]:
        """Every counter of the budgets' current windows, of all roots; a budget nobody has used yet shows zeros."""
        asked = [(budget, window, limits) for budget in budgets for window, limits in _windows(budget, now_ms)]
        suffixes = [(prefix_of(root), suffix) for root, suffix in await self._counters()]
        wanted = [
            (budget, window, limits, prefix, suffix.removesuffix(f":{window.id}"))
            for budget, window, limits in asked
            for prefix, suffix in suffixes
            if _belongs(suffix, budget, window)
        ]
        figures = await self._figures([f"{prefix}b:{key}:{window.id}" for _, window, _, prefix, key in wanted])
        found = [
            BudgetStatus(budget.name, key, window, limits, spent, held)
            for (budget, window, limits, _, key), (spent, held) in zip(wanted, figures, strict=True)
        ]
        used = {(status.budget, status.window.id) for status in found}
        untouched = [
            BudgetStatus(budget.name, budget_prefix(budget), window, limits, NOUGHT, NOUGHT)
            for budget, window, limits in asked
            if (budget.name, window.id) not in used
        ]
        return sorted(found + untouched, key=lambda status: (status.budget, status.key, status.window.id))

    async def of_counters(self, root: str, counters: Sequence[Counter]) -> list[BudgetStatus]:
        """Where these counters of one root stand (`claims.counters(identity, ...)`), those of declared budgets only."""
        declared = [counter for counter in counters if counter.name]
        figures = await self._figures([f"{prefix_of(root)}b:{suffix_of(counter)}" for counter in declared])
        return [
            BudgetStatus(counter.name, counter.key, counter.window, dict(counter.limits), spent, held)
            for counter, (spent, held) in zip(declared, figures, strict=True)
        ]

    async def _counters(self) -> list[tuple[str, str]]:
        """(root, suffix) of every counter that is kept."""
        found = []
        for root in sorted(cast(list[bytes], await self._channel.command("SMEMBERS", ROOTS_KEY))):
            index = f"{prefix_of(root.decode())}c"
            suffixes = cast(list[bytes], await self._channel.command("ZRANGE", index, 0, -1))
            found += [(root.decode(), suffix.decode()) for suffix in suffixes]
        return found

    async def _figures(self, keys: Sequence[str]) -> list[tuple[Mapping[Unit, int], Mapping[Unit, int]]]:
        values: list[bytes | None] = []
        for start in range(0, len(keys), BATCH):
            values += cast(list[bytes | None], await self._channel.command("MGET", *keys[start : start + BATCH]))
        return [standing_of(value) for value in values]


def _windows(budget: Budget, now_ms: int) -> list[tuple[WindowSpan, dict[Unit, int]]]:
    """The windows a budget counts in now, each with its limits; concurrency has none (see `policy.claims`)."""
    windowed, at_once = dict(budget.limits), {}
    if Unit.CONCURRENT in windowed:
        at_once = {Unit.CONCURRENT: windowed.pop(Unit.CONCURRENT)}
    windows = []
    if windowed or not at_once:
        windows.append((span(budget.window, budget.zone, now_ms), windowed))
    if at_once:
        windows.append((TOTAL, at_once))
    return windows


def _belongs(suffix: str, budget: Budget, window: WindowSpan) -> bool:
    prefix = budget_prefix(budget)
    key = suffix.removesuffix(f":{window.id}")
    return key != suffix and (key == prefix or key.startswith(prefix + ":"))

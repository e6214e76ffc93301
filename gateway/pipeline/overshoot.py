"""By how much a dollar budget can be passed at most: the bound that is declared and published (law 3).

A request that bounds its own answer is held in full. One that does not is held at a quantile of answers seen (decision
0003), so what it may cost beyond its hold is at most the longest answer a member gives, times the choices it may
ask for; and at most so many requests run at once as the door and the backends let in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gateway.domain.amounts import Unit
from gateway.domain.budgets import Budget, Mode
from gateway.domain.catalog import Member, Snapshot
from gateway.domain.usage import TokenUsage
from gateway.metering.pricing import rated


def overshoot_bounds(snapshot: Snapshot) -> Mapping[str, int]:
    """Nano-dollars by the name of each enforced dollar budget."""
    return {
        budget.name: bound_of(budget, snapshot)
        for budget in snapshot.budgets
        if budget.mode is Mode.ENFORCE and Unit.USD_NANOS in budget.limits
    }


def bound_of(budget: Budget, snapshot: Snapshot) -> int:
    """Of the members it can be charged for: the dearest uncovered answer, times the requests they serve at once."""
    wanted = budget.scope.get("model", "*")
    members = [member for name, served in snapshot.models.items() if wanted in ("*", name) for member in served.members]
    if not members:
        return 0
    dearest = max(uncovered(member, snapshot.limits.choices) for member in members)
    return dearest * min(snapshot.limits.concurrent_requests, at_once(members, snapshot))


def uncovered(member: Member, choices: int) -> int:
    """Nano-dollars of the longest answers it gives to one request, its prompt left out (a hold always covers that)."""
    longest = TokenUsage(output_tokens=member.output_tokens_max * choices)
    return rated(member.rates, longest, up=True).usd_nanos


def at_once(members: Iterable[Member], snapshot: Snapshot) -> int:
    """Requests that the members' backends take at once."""
    return sum(snapshot.backends[name].concurrent_max for name in {member.backend for member in members})

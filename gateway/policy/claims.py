"""From the declared budgets to the counters of one request. Here lives which counters; never how they are counted.

Always counted, limit or not, without a window: `key:K`, `project:ORG/TEAM/P`, `team:ORG/TEAM`, `org:ORG`. Days and
months of them are in the usage records; a tally per window would double the work of every settle.

A declared budget adds `budget:NAME`, a rate limit `limit:NAME`; each "*" in its scope adds the value to the key, so
that each value has a counter, and the limit, of its own. A session adds `session:KEY_ID:SESSION`.

Org, team, project and key nest, and names are unique only within their parent: a scope that names a team without its
org means the team of that name in every org, each with the limit to itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from urllib.parse import quote

from gateway.domain.amounts import Unit
from gateway.domain.budgets import Budget, Counter, Mode, WindowKind, WindowSpan
from gateway.domain.faults import BadDocument
from gateway.domain.tenancy import ID_PATTERN, Identity
from gateway.policy.windows import TOTAL, Windows, zone_of

LIMIT_MAX = 2**53 - 1  # Lua compares in doubles, exact up to here; $9.0 million in nano-dollars
SESSION_TTL_MS = 24 * 3_600_000
REMEMBERED = 20_000  # (key, model) pairs whose counters are kept compiled
LEVELS = ("org", "team", "project", "key")  # outermost first
ROOT_LEVEL = {"platform": 0, "org": 1, "team": 2}  # how many levels are fixed by a tenancy root
EVERY = "*"
SESSION = WindowSpan("session", 0, None)


class Claims:
    """Which counters a request is charged to. One per snapshot.

    budgets: all declared budgets and rate limits. tenancy_root: "platform", "org" or "team": what one Redis slot holds
    together. Raises BadDocument for a budget that such a slot can not hold, a limit too large, or an unknown zone.
    """

    def __init__(self, budgets: Iterable[Budget], tenancy_root: str = "org"):
        if tenancy_root not in ROOT_LEVEL:
            raise BadDocument(f"tenancy.root: '{tenancy_root}' is not one of platform, org, team")
        self._root_level = ROOT_LEVEL[tenancy_root]
        self._rules = tuple(rule for budget in budgets for rule in _rules(budget, tenancy_root))
        self._windows = Windows()
        self._compiled: dict[tuple[str, str], _Compiled] = {}

    def root(self, identity: Identity) -> str:
        """The slot tag that every key of this identity's requests carries."""
        return "/".join(_path(identity)[: self._root_level]) or "platform"

    def counters(self, identity: Identity, model: str, session: str | None, now_ms: int) -> tuple[Counter, ...]:
        """The counters of a request of that key for that model, in the windows that hold `now_ms`."""
        compiled = self._compiled.get((identity.key_id, model))
        if (
            compiled is None
            or not compiled.start_ms <= now_ms < compiled.end_ms
            or (compiled.identity is not identity and _path(compiled.identity) != _path(identity))
        ):
            compiled = self._compile(identity, model, now_ms)
        return compiled.counters if session is None else (*compiled.counters, _session(identity, session))

    def _compile(self, identity: Identity, model: str, now_ms: int) -> _Compiled:
        values = {**dict(zip(LEVELS, _path(identity), strict=False)), "key": identity.key_id, "model": model}
        if identity.project is None:
            values.pop("project", None)
        counters = [*_tallies(identity, self._root_level)]
        for rule in self._rules:
            key = rule.key(values)
            if key is not None:
                window = self._windows.span(rule.window, rule.zone, now_ms)
                counters.append(Counter(key, window, rule.limits, rule.name, rule.kind, rule.report))
        spans = [counter.window for counter in counters]
        compiled = _Compiled(
            identity,
            tuple(counters),
            max(window.start_ms for window in spans),
            min((window.end_ms for window in spans if window.end_ms is not None), default=2**63),
        )
        if len(self._compiled) >= REMEMBERED:
            self._compiled.clear()
        self._compiled[identity.key_id, model] = compiled
        return compiled


@dataclass(frozen=True, slots=True)
class _Compiled:
    """Counters of one key and model, good while `start_ms <= now < end_ms`."""

    identity: Identity
    counters: tuple[Counter, ...]
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class _Rule:
    """One counter (or one for each value of a "*") that a declared budget makes."""

    name: str
    prefix: str
    scope: tuple[tuple[str, str], ...]
    window: WindowKind
    zone: str
    limits: tuple[tuple[Unit, int], ...]
    kind: str
    report: bool

    def key(self, values: dict[str, str]) -> str | None:
        """The counter's key for these values, None where the scope does not cover them."""
        own = []
        for level, wanted in self.scope:
            value = values.get(level)
            if value is None or wanted not in (EVERY, value):
                return None
            if wanted == EVERY:
                own.append(quote(value, safe=""))
        return f"{self.prefix}:{'/'.join(own)}" if own else self.prefix


def budget_prefix(budget: Budget) -> str:
    """What the keys of this budget's counters begin with; a "*" in its scope adds ':' and the values."""
    return f"{'limit' if budget.kind == 'rate' else 'budget'}:{quote(budget.name, safe='')}"


def _rules(budget: Budget, tenancy_root: str) -> list[_Rule]:
    """Concurrency is counted without a window: a request may begin in one minute and end in another."""
    _check(budget, tenancy_root)
    windowed, at_once = dict(budget.limits), {}
    if Unit.CONCURRENT in windowed:
        at_once = {Unit.CONCURRENT: windowed.pop(Unit.CONCURRENT)}
    rules = []
    if windowed or not at_once:
        rules.append(_rule(budget, tenancy_root, windowed, budget.window))
    if at_once:
        rules.append(_rule(budget, tenancy_root, at_once, WindowKind.TOTAL))
    return rules


def _rule(budget: Budget, tenancy_root: str, limits: dict[Unit, int], window: WindowKind) -> _Rule:
    return _Rule(
        name=budget.name,
        prefix=budget_prefix(budget),
        scope=_scope(budget, tenancy_root),
        window=window,
        zone=budget.zone,
        limits=tuple(limits.items()) if budget.mode is Mode.ENFORCE else (),
        kind=budget.kind,
        report=budget.kind == "rate" and not limits.keys().isdisjoint({Unit.REQUESTS, Unit.TOKENS}),
    )


def _scope(budget: Budget, tenancy_root: str) -> tuple[tuple[str, str], ...]:
    """The scope with the parents it left out, as far as the slot tag does not already tell them apart."""
    named = dict(budget.scope)
    inner = max((LEVELS.index(level) for level in named if level in LEVELS), default=-1)
    if "key" not in named:  # key ids are unique by themselves
        for level in LEVELS[ROOT_LEVEL[tenancy_root] : inner]:
            named.setdefault(level, EVERY)
    order = (*LEVELS, "model")
    return tuple((level, named[level]) for level in order if level in named)


def _check(budget: Budget, tenancy_root: str) -> None:
    what = f"{'limit' if budget.kind == 'rate' else 'budget'} '{budget.name}'"
    for level in budget.scope:
        if level not in (*LEVELS, "model"):
            raise BadDocument(f"{what}: scope: '{level}' is not one of {', '.join(LEVELS)}, model")
    for unit, limit in budget.limits.items():
        if not 0 <= limit <= LIMIT_MAX:
            raise BadDocument(
                f"{what}: a limit of {limit} {unit} is not between 0 and {LIMIT_MAX}; "
                "split the scope or choose a shorter window"
            )
    if budget.zone:
        try:
            zone_of(budget.zone)
        except ValueError as unknown:
            raise BadDocument(f"{what}: zone: {unknown}") from None
    innermost = max((LEVELS.index(level) + 1 for level in budget.scope if level in LEVELS), default=0)
    if innermost < ROOT_LEVEL[tenancy_root]:
        reach = ", ".join(f"{level}: {value}" for level, value in budget.scope.items()) or "everyone"
        inside = " or ".join(LEVELS[ROOT_LEVEL[tenancy_root] - 1 :][:2])
        raise BadDocument(
            f"{what}: its scope ({reach}) lies above or across the tenancy root '{tenancy_root}', and one budget must "
            f"fit in one root; name the {inside} it is for, or set tenancy.root: "
            f"{'org' if innermost == 1 else 'platform'}"
        )


def _path(identity: Identity) -> tuple[str, ...]:
    return (identity.org, identity.team, identity.project or "")


def _tallies(identity: Identity, root_level: int) -> list[Counter]:
    """Counted for every request; a level above the root is the sum of its roots, and is not counted here."""
    org, team, project = _path(identity)
    tallies = [_tally(f"key:{identity.key_id}")]
    if project:
        tallies.append(_tally(f"project:{org}/{team}/{project}"))
    tallies.append(_tally(f"team:{org}/{team}"))
    if root_level <= ROOT_LEVEL["org"]:
        tallies.append(_tally(f"org:{org}"))
    return tallies


def _tally(key: str) -> Counter:
    return Counter(key, TOTAL)


def _session(identity: Identity, session: str) -> Counter:
    """A session of one key: another key that names the same session has another counter, so nobody reads its cost."""
    return Counter(f"session:{identity.key_id}:{_safe(session)}", SESSION, report=True, ttl_ms=SESSION_TTL_MS)


def _safe(session: str) -> str:
    if ID_PATTERN.match(session):
        return session
    return "~" + blake2b(session.encode(errors="replace"), digest_size=16).hexdigest()

"""Policy files to the pieces a snapshot is made of. Reads text it is given, opens nothing.

`read_policy` checks one file by itself; `compile_policies` checks all files against the members that exist and against
each other, and tells every fault at once, each with its file, its line and the nearest name that would do.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from zoneinfo import available_timezones

from gateway.domain.amounts import Unit
from gateway.domain.budgets import Budget, Mode, WindowKind
from gateway.domain.catalog import Member, Objective, ServedModel, SlaClass
from gateway.domain.documents import Source, read
from gateway.domain.faults import BadDocument
from gateway.policy.claims import EVERY, Claims
from gateway.policy.money import LIMITS, units
from gateway.policy.sections import BudgetSection, CaseSection, ClassSection, LimitSection, PolicySection
from gateway.policy.windows import zone_of

NO_PROMISE = SlaClass("default")  # where no file declares a class: nothing is promised, so the cheapest serves


@dataclass(frozen=True, slots=True)
class PolicyDocument:
    """One file: its words, and where each of them stands."""

    source: Source
    policy: PolicySection


@dataclass(frozen=True, slots=True)
class Case:
    """A case of a file, its names resolved."""

    where: str  # file:line
    section: CaseSection
    model: ServedModel
    sla: SlaClass
    members: Mapping[str, Member]  # by member name and, where that is unambiguous, by backend name


@dataclass(frozen=True, slots=True)
class CompiledPolicies:
    """What a snapshot takes from policies."""

    models: Mapping[str, ServedModel]
    classes: Mapping[str, SlaClass]
    default_class: str
    budgets: tuple[Budget, ...]
    cases: tuple[Case, ...]


def read_policy(text: str, *, file: str, env: Mapping[str, str] | None = None) -> PolicyDocument:
    """One file's text. Raises BadDocument."""
    source = read(text, file=file, env=env)
    return PolicyDocument(source, source.validate(PolicySection))


def compile_policies(
    documents: Sequence[PolicyDocument], members: Mapping[str, Member], *, tenancy_root: str = "org"
) -> CompiledPolicies:
    """All files together. Raises BadDocument with one line per fault."""
    return _Compiler(documents, members, tenancy_root).compiled()


class _Compiler:
    """Collects pieces and faults; the first file that declares a name owns it."""

    def __init__(self, documents: Sequence[PolicyDocument], members: Mapping[str, Member], tenancy_root: str) -> None:
        self._documents = documents
        self._members = members
        self._tenancy_root = tenancy_root
        self._faults: list[str] = []
        self._classes: dict[str, SlaClass] = {}
        self._models: dict[str, ServedModel] = {}
        self._budgets: dict[tuple[str, str], Budget] = {}
        self._cases: list[Case] = []

    def compiled(self) -> CompiledPolicies:
        """Classes before models before cases: each names the ones before it."""
        for document in self._documents:
            self._read_classes(document)
        if not self._classes:
            self._classes[NO_PROMISE.name] = NO_PROMISE
        default = self._default_class()
        for document in self._documents:
            self._read_models(document)
            self._read_budgets(document)
            self._read_limits(document)
        for document in self._documents:
            self._read_cases(document, default)
        if self._faults:
            raise BadDocument("\n".join(self._faults))
        return CompiledPolicies(self._models, self._classes, default, tuple(self._budgets.values()), tuple(self._cases))

    def _fault(self, document: PolicyDocument, path: Sequence[str | int], what: str) -> None:
        self._faults.append(document.source.fault(path, what))

    def _read_classes(self, document: PolicyDocument) -> None:
        for name, section in document.policy.classes.items():
            if name in self._classes:
                self._fault(document, ("classes", name), "is declared twice")
            else:
                self._classes[name] = _sla_class(name, section, rank=len(self._classes))

    def _default_class(self) -> str:
        declared = [document for document in self._documents if document.policy.default_class is not None]
        for document in declared[1:]:
            self._fault(document, ("default_class",), "another file declares one already")
        if not declared:
            return next(iter(self._classes))
        name = declared[0].policy.default_class or ""
        if name not in self._classes:
            self._fault(declared[0], ("default_class",), _unknown("class", name, self._classes))
            return next(iter(self._classes))
        return name

    def _read_models(self, document: PolicyDocument) -> None:
        for index, section in enumerate(document.policy.models):
            path = ("models", index)
            if section.name in self._models:
                self._fault(document, (*path, "name"), f"'{section.name}' is declared twice")
                continue
            if section.sla_class is not None and section.sla_class not in self._classes:
                self._fault(document, (*path, "class"), _unknown("class", section.sla_class, self._classes))
            found = self._members_of(document, path, section.members)
            if found:
                self._models[section.name] = ServedModel(
                    section.name, tuple(found), Objective(section.objective), section.sla_class, section.sticky
                )

    def _members_of(
        self, document: PolicyDocument, path: tuple[str | int, ...], names: Sequence[str]
    ) -> Sequence[Member]:
        found: dict[str, Member] = {}
        for place, name in enumerate(names):
            spot = (*path, "members", place)
            member = self._members.get(name)
            if member is None:
                self._fault(document, spot, _unknown("member", name, self._members, "a member is backend/model"))
            elif name in found:
                self._fault(document, spot, f"'{name}' is listed twice")
            elif found and member.tier != next(iter(found.values())).tier:
                first = next(iter(found.values()))
                self._fault(
                    document,
                    spot,
                    f"'{name}' is of tier '{member.tier}' and '{first.name}' of '{first.tier}'; "
                    "members of one model are of one tier, because a client can not see which one serves",
                )
            else:
                found[name] = member
        return tuple(found.values())

    def _read_budgets(self, document: PolicyDocument) -> None:
        for index, section in enumerate(document.policy.budgets):
            path = ("budgets", index)
            observed = section.mode == "observe" or section.on_exhausted == "allow_and_alert"
            budget = Budget(
                name=section.name,
                scope=section.scope,
                limits=self._limits_of(document, path, section),
                window=WindowKind(section.window),
                zone=section.zone,
                mode=Mode.OBSERVE if observed else Mode.ENFORCE,
                when_redis_is_down=section.when_redis_is_down,
            )
            self._add_budget(document, path, budget)

    def _read_limits(self, document: PolicyDocument) -> None:
        for index, section in enumerate(document.policy.limits):
            path = ("limits", index)
            budget = Budget(
                name=section.name or _limit_name(section.scope),
                scope=section.scope,
                limits=self._limits_of(document, path, section),
                window=WindowKind.MINUTE,
                mode=Mode(section.mode),
                kind="rate",
            )
            self._add_budget(document, path, budget)

    def _limits_of(
        self, document: PolicyDocument, path: tuple[str | int, ...], section: BudgetSection | LimitSection
    ) -> Mapping[Unit, int]:
        found: dict[Unit, int] = {}
        for word in type(section).model_fields.keys() & LIMITS.keys():
            amount = getattr(section, word)
            if amount is not None:
                try:
                    unit, limit = units(word, amount)
                except ValueError as wrong:
                    self._fault(document, (*path, word), str(wrong))
                else:
                    found[unit] = limit
        return {unit: found[unit] for unit in Unit if unit in found}

    def _add_budget(self, document: PolicyDocument, path: tuple[str | int, ...], budget: Budget) -> None:
        if (budget.kind, budget.name) in self._budgets:
            self._fault(document, path, f"'{budget.name}' is declared twice; give one of them another name")
            return
        self._budgets[budget.kind, budget.name] = budget
        try:
            zone_of(budget.zone)
        except ValueError as unknown:
            near = get_close_matches(budget.zone, available_timezones(), n=1, cutoff=0.5)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            self._fault(document, (*path, "zone"), f"{unknown}{hint}")
            return
        model = budget.scope.get("model", EVERY)
        if model != EVERY and model not in self._models:
            self._fault(document, (*path, "scope", "model"), _unknown("model", model, self._models))
        try:
            Claims([budget], self._tenancy_root)
        except BadDocument as bad:
            self._fault(document, (*path, "scope"), str(bad))

    def _read_cases(self, document: PolicyDocument, default: str) -> None:
        for index, section in enumerate(document.policy.cases):
            path = ("cases", index)
            model = self._model_of_case(document, path, section)
            if model is None:
                continue
            name = section.sla_class or model.sla_class or default
            if name not in self._classes:
                if section.sla_class is not None:
                    self._fault(document, (*path, "class"), _unknown("class", name, self._classes))
                continue
            members = by_short_name(model)
            for spot, member in names_in(section):
                if member not in members:
                    self._fault(document, (*path, *spot), _unknown(f"member of {model.name}", member, members))
            where = document.source.fault(path, "").split(": ", 1)[0]
            self._cases.append(Case(where, section, model, self._classes[name], members))

    def _model_of_case(
        self, document: PolicyDocument, path: tuple[str | int, ...], section: CaseSection
    ) -> ServedModel | None:
        if section.model is not None:
            if section.model not in self._models:
                self._fault(document, (*path, "model"), _unknown("model", section.model, self._models))
            return self._models.get(section.model)
        if len(self._models) == 1:
            return next(iter(self._models.values()))
        self._fault(document, path, f"says no model; one of {', '.join(self._models) or '(none is declared)'}")
        return None


def by_short_name(model: ServedModel) -> Mapping[str, Member]:
    """Members by name, and by backend where only one of them is there."""
    backends = [member.backend for member in model.members]
    short = {member.backend: member for member in model.members if backends.count(member.backend) == 1}
    return {**short, **{member.name: member for member in model.members}}


def names_in(section: CaseSection) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Every place of a case that names a member, and the name."""
    for word in ("ttft_p95_ms", "tpot_p95_ms", "cost_usd", "in_flight"):
        for name in getattr(section, word):
            yield (word, name), name
    for word in ("down", "drained", "tried"):
        for place, name in enumerate(getattr(section, word)):
            yield (word, place), name
    if section.conversation_at is not None:
        yield ("conversation_at",), section.conversation_at
    for place, name in enumerate(section.expect.route or ()):
        yield ("expect", "route", place), name
    for name in section.expect.reasons:
        yield ("expect", "reasons", name), name


def _sla_class(name: str, section: ClassSection, rank: int) -> SlaClass:
    return SlaClass(
        name=name,
        ttft_ms=section.ttft_ms,
        tpot_ms=section.tpot_ms,
        e2e_ms=section.e2e_ms,
        deadline_ms=section.deadline_ms,
        target=float(section.target),
        reject_unmeetable=section.on_unmeetable == "reject",
        rank=rank,
    )


def _limit_name(scope: Mapping[str, str]) -> str:
    """`key-each` for `{key: "*"}`; what a name may not hold becomes a dash."""
    words = "-".join(f"{level}-{'each' if value == EVERY else value}" for level, value in scope.items())
    return re.sub(r"[^A-Za-z0-9_-]", "-", words)[:64]


def _unknown(what: str, name: str, known: Iterable[str], otherwise: str = "") -> str:
    names = sorted(known)
    near = get_close_matches(name, names, n=1, cutoff=0.5)
    if near:
        return f"there is no {what} '{name}'; did you mean '{near[0]}'?"
    few = f"there are {', '.join(names)}" if 0 < len(names) <= 12 else otherwise
    return f"there is no {what} '{name}'" + (f"; {few}" if few else "")

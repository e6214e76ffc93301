"""`joulegate check`: every document read strictly, policies' cases run, budgets shown; faults with file and line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.bootstrap.assemble import Assembly, assemble
from gateway.bootstrap.budgets import exact, shown_unit
from gateway.bootstrap.settings import SCHEMA, Settings, read_settings, read_text
from gateway.domain.documents import read
from gateway.domain.faults import BadDocument
from gateway.domain.site import Site
from gateway.feeds.grid import load_grid
from gateway.metering.pricing import marginal
from gateway.metering.profiles import SCHEMA as PROFILE_SCHEMA
from gateway.metering.profiles import Profile, read_profile
from gateway.policy.cases import run
from gateway.policy.documents import read_policy
from gateway.policy.sections import schema as policy_schema

STAND_IN = "a-stand-in-for-a-secret-0123456789"  # long enough for every check on secrets
SUFFIXES = (".yaml", ".yml")
POLICY_SCHEMA = "joulegate.policy/1"
SETTINGS_KEYS = frozenset({"backends", "listen", "admin"})
KINDS = {"settings": SCHEMA, "policy": POLICY_SCHEMA, "profile": PROFILE_SCHEMA}
POLICY_KEYS = frozenset({"classes", "models", "budgets", "limits", "cases"})


class Environment(Mapping[str, str]):
    """The environment, where a name that is not set has a stand-in: checking needs no secrets. `lent` says which."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self.lent: set[str] = set()

    def __getitem__(self, name: str) -> str:
        if name in self._env:
            return self._env[name]
        self.lent.add(name)
        return STAND_IN

    def __contains__(self, name: object) -> bool:
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(self._env)

    def __len__(self) -> int:
        return len(self._env)


@dataclass(slots=True)
class Report:
    """What was found. files: every document that was read. budgets: rows for a table."""

    files: set[Path] = field(default_factory=set)
    cases: int = 0
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    budgets: list[dict[str, object]] = field(default_factory=list)

    def summary(self) -> str:
        """One line."""
        verdict = _counted(len(self.faults), "fault") if self.faults else "all good"
        return f"{_counted(self.documents, 'document')}, {_counted(self.cases, 'policy case')}: {verdict}"

    @property
    def documents(self) -> int:
        """How many were read."""
        return len(self.files)

    def as_json(self) -> dict[str, object]:
        """For scripts."""
        return {
            "ok": not self.faults,
            "documents": self.documents,
            "cases": self.cases,
            "faults": self.faults,
            "notes": self.notes,
            "budgets": self.budgets,
        }


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def check(paths: Sequence[Path], env: Mapping[str, str], *, only: str | None = None) -> Report:
    """Check files, and everything below directories. only: the one kind a named file may be."""
    report, lenient = Report(), Environment(env)
    for path in _documents(paths, report):
        try:
            _check_one(path, lenient, report, named=path in paths, only=only)
        except BadDocument as bad:
            report.faults += str(bad).splitlines()
    report.faults = list(dict.fromkeys(report.faults))
    report.notes += [f"{name} is not set here; a stand-in was used" for name in sorted(lenient.lent)]
    return report


def _documents(paths: Sequence[Path], report: Report) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            found = sorted(inner for suffix in SUFFIXES for inner in path.rglob(f"*{suffix}"))
            if not found:
                report.faults.append(f"{path}: there is no YAML file below this directory")
            yield from found
        else:
            yield path


def _check_one(path: Path, env: Environment, report: Report, *, named: bool, only: str | None) -> None:
    report.files.add(path.resolve())
    text, file = read_text(path), str(path)
    kind, wanted = kind_of(text, file), [only] if only else list(KINDS)
    if named and kind not in wanted:
        expected = " or ".join(f"{word} (schema: {KINDS[word]})" for word in wanted)
        raise BadDocument(f"{path}: found {kind}, expected {expected}")
    match kind:
        case "settings":
            _check_deployment(assemble(read_settings(path, env)), report)
        case "profile":
            read_profile(text, file=file)
        case "policy":
            policy = read_policy(text, file=file).policy
            if policy.cases:
                report.notes.append(f"{path}: its cases run when the joulegate.yaml that names it is checked")
        case other:
            report.files.remove(path.resolve())
            report.notes.append(f"{path}: not one of ours ({other}); left out")


def kind_of(text: str, file: str) -> str:
    """settings, policy or profile: what its `schema` says, or else what its keys look like. Raises BadDocument."""
    tree = read(text, file=file).parsed.tree
    keys = frozenset(tree) if isinstance(tree, dict) else frozenset()
    schema = tree.get("schema") if isinstance(tree, dict) else None
    if schema is not None:
        return next((kind for kind, known in KINDS.items() if known == str(schema)), f"schema {schema}")
    if keys & SETTINGS_KEYS:
        return "settings"
    return "policy" if keys & POLICY_KEYS else "no schema"


def _check_deployment(assembly: Assembly, report: Report) -> None:
    report.files.update(path.resolve() for path in assembly.files)
    report.notes += _without_carbon(assembly.sites.values())
    for case in assembly.cases:
        report.cases += 1
        verdict = run(case, assembly.snapshot, marginal)
        if not verdict.passed:
            report.faults.append(verdict.sentence)
    report.budgets += [
        {
            "budget": budget.name,
            "scope": ", ".join(f"{level}: {value}" for level, value in budget.scope.items()),
            "limit": ", ".join(f"{exact(limit, unit)} {shown_unit(unit)}" for unit, limit in budget.limits.items()),
            "window": f"{budget.window.value} ({budget.zone})",
            "mode": budget.mode.value,
        }
        for budget in assembly.snapshot.budgets
    ]


def _without_carbon(sites: Iterable[Site]) -> Iterator[str]:
    """A zone may be one that no table has, which is no fault, and easily overlooked."""
    grid = load_grid()
    for site in sites:
        if site.grid_g_per_kwh is None and grid.factor(site.zone) is None:
            why = f"no grid table has zone {site.zone}" if site.zone else "it names no zone"
            yield f"site {site.name}: {why}, so carbon is not known there; give grid_g_per_kwh and grid_source"


def schema_of(document: str) -> dict[str, Any]:
    """The JSON schema of settings, policy or profile. Raises BadDocument for another word."""
    schemas = {"settings": Settings.model_json_schema, "policy": policy_schema, "profile": Profile.model_json_schema}
    if document not in schemas:
        raise BadDocument(f"there is no schema of '{document}'; there are {', '.join(schemas)}")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schemas[document]()}

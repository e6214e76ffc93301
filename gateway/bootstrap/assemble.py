"""From files to the snapshot in force: settings, profiles and policies, validated together. Slow, and done at load."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from gateway.bootstrap.members import MemberBuilder, backends_of, sites_of
from gateway.bootstrap.profiles import Shelf
from gateway.bootstrap.settings import Settings, SettingsFile, read_settings, read_text
from gateway.domain.catalog import Backend, Limits, Member, Snapshot
from gateway.domain.faults import BadDocument
from gateway.domain.site import Site
from gateway.feeds.grid import Grid, load_grid
from gateway.policy.documents import Case, CompiledPolicies, PolicyDocument, compile_policies, read_policy

FIXED = ("listen", "admin", "redis", "key_pepper", "data_dir", "records", "workers", "drain_seconds")
VERSION_DIGITS = 12


@dataclass(frozen=True, slots=True)
class Assembly:
    """A snapshot, and what it was made of. files: everything that a change of would change it."""

    snapshot: Snapshot
    settings: Settings
    sites: Mapping[str, Site]
    cases: tuple[Case, ...]
    files: tuple[Path, ...]

    def fixed_since(self, older: Assembly) -> list[str]:
        """Settings that differ and that a reload can not change."""
        return [name for name in FIXED if getattr(self.settings, name) != getattr(older.settings, name)]


def read_assembly(path: Path, env: Mapping[str, str]) -> Assembly:
    """The settings at `path` and all they name. Raises BadDocument, one line per fault."""
    return assemble(read_settings(path, env))


def assemble(file: SettingsFile, *, grid: Grid | None = None, today: date | None = None) -> Assembly:
    """Everything that settings name. `today`: whose list prices hold. Raises BadDocument."""
    shelf = Shelf(profile_directories(file))
    builder = MemberBuilder(file, shelf, grid or load_grid(), today or datetime.now(UTC).date())
    paths = policy_files(file)
    documents, members = _all_or_faults(paths, builder)
    tenancy_root = file.settings.tenancy.root
    policies = compile_policies(documents, members, tenancy_root=tenancy_root)
    backends = backends_of(file)
    limits = Limits(**file.settings.limits.model_dump())
    snapshot = Snapshot(
        version=version_of(policies, backends, limits, file.settings.attempts, tenancy_root),
        models=policies.models,
        backends=backends,
        classes=policies.classes,
        default_class=policies.default_class,
        budgets=policies.budgets,
        attempts=file.settings.attempts,
        tenancy_root=tenancy_root,
        limits=limits,
    )
    files = (file.path, *paths, *shelf.used())
    return Assembly(snapshot, file.settings, sites_of(file), policies.cases, files)


def _all_or_faults(paths: list[Path], builder: MemberBuilder) -> tuple[list[PolicyDocument], Mapping[str, Member]]:
    """Policies and members, each read alone, so that one run tells the faults of every file."""
    faults: list[str] = []
    documents: list[PolicyDocument] = []
    members: Mapping[str, Member] = {}
    try:
        members = builder.members()
    except BadDocument as bad:
        faults.append(str(bad))
    for path in paths:
        try:
            documents.append(read_policy(read_text(path), file=str(path)))
        except BadDocument as bad:
            faults.append(str(bad))
    if faults:
        raise BadDocument("\n".join(faults))
    return documents, members


def policy_files(file: SettingsFile) -> list[Path]:
    """The files that `policies` names, patterns expanded. Raises BadDocument where none matches."""
    found: list[Path] = []
    for index, pattern in enumerate(file.settings.policies):
        place = file.place(Path(pattern))
        matches = sorted(place.parent.glob(place.name)) if set("*?[") & set(place.name) else [place]
        if not matches or not all(match.is_file() for match in matches):
            raise BadDocument(file.source.fault(("policies", index), f"there is no such file: {place}"))
        found += matches
    return list(dict.fromkeys(found))


def profile_directories(file: SettingsFile) -> list[Path]:
    """The directories that `profiles` names, then `profiles/` beside each policy file."""
    named = [file.place(Path(name)) for name in file.settings.profiles]
    for index, directory in enumerate(named):
        if not directory.is_dir():
            raise BadDocument(file.source.fault(("profiles", index), f"there is no such directory: {directory}"))
    beside = [path.parent / "profiles" for path in policy_files(file)]
    return [*named, *(directory for directory in beside if directory.is_dir())]


def version_of(
    policies: CompiledPolicies, backends: Mapping[str, Backend], limits: Limits, attempts: int, tenancy_root: str
) -> str:
    """Names the content: the same files give the same version on every replica."""
    parts = (
        sorted(policies.models.items()),
        sorted(backends.items()),
        list(policies.classes.items()),
        policies.default_class,
        policies.budgets,
        limits,
        attempts,
        tenancy_root,
    )
    return hashlib.sha256(_stable(parts).encode()).hexdigest()[:VERSION_DIGITS]


def _stable(value: object) -> str:
    """A text that two processes write alike: sets are sorted, everything else is its repr."""
    if isinstance(value, frozenset | set):
        return "{" + ",".join(sorted(map(_stable, value))) + "}"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{_stable(key)}:{_stable(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "(" + ",".join(map(_stable, value)) + ")"
    slots = getattr(type(value), "__dataclass_fields__", None)
    if slots is not None:
        return type(value).__name__ + _stable([getattr(value, name) for name in slots])
    return repr(value)

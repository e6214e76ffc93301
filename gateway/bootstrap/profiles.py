"""Finds profiles: in the operator's directories first, then among those that ship. A profile's id is its path there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from gateway.bootstrap.settings import read_text
from gateway.domain.faults import BadDocument
from gateway.feeds.packaged import packaged_path
from gateway.metering.profiles import Profile, named_as, read_profile

SUFFIX = ".yaml"


@dataclass(frozen=True, slots=True)
class Found:
    """A profile and the file it stands in."""

    profile: Profile
    path: Path


class Shelf:
    """Profiles by id. The first directory that has one wins, so that an operator can put a measured one in place."""

    def __init__(self, directories: Sequence[Path] = ()) -> None:
        shipped = packaged_path("policies", "profiles")
        self._directories = tuple(dict.fromkeys([*directories, shipped]))
        self._read: dict[str, Found] = {}

    def find(self, profile_id: str) -> Found:
        """The profile of that id. Raises BadDocument, with the nearest id, if there is none."""
        if profile_id not in self._read:
            self._read[profile_id] = self._load(profile_id)
        return self._read[profile_id]

    def used(self) -> list[Path]:
        """The files of the profiles that were asked for."""
        return sorted(found.path for found in self._read.values())

    def all(self) -> Iterator[Found]:
        """Every profile, by id."""
        for profile_id in self.ids():
            yield self.find(profile_id)

    def ids(self) -> list[str]:
        """Every id, sorted."""
        return sorted(
            {
                path.relative_to(directory).as_posix().removesuffix(SUFFIX)
                for directory in self._directories
                for path in directory.rglob(f"*{SUFFIX}")
            }
        )

    def _load(self, profile_id: str) -> Found:
        for directory in self._directories:
            path = directory / f"{profile_id}{SUFFIX}"
            if ".." not in Path(profile_id).parts and path.is_file():
                profile = read_profile(read_text(path), file=str(path))
                return Found(named_as(profile, profile_id, file=str(path)), path)
        near = get_close_matches(profile_id, self.ids(), n=1, cutoff=0.4)
        remedy = f"did you mean '{near[0]}'?" if near else "`joulegate profiles list` shows all"
        raise BadDocument(f"there is no profile '{profile_id}'; {remedy}")


def summary_of(found: Found) -> dict[str, object]:
    """One line of `profiles list`."""
    profile = found.profile
    provenance = profile.provenance
    return {
        "id": profile.id,
        "kind": profile.kind.value,
        "model": profile.model.name,
        "tier": provenance.tier,
        "retrieved": str(provenance.retrieved or ""),
        "note": "fictional" if profile.fictional else profile.summary,
    }

"""Profiles from a directory: `policies/profiles/demo/swift.yaml` holds the profile `demo/swift`."""

from __future__ import annotations

from pathlib import Path

from gateway.domain.faults import BadDocument
from gateway.feeds.packaged import packaged_path
from gateway.metering.profiles import Profile, named_as, read_profile


def packaged_profiles() -> dict[str, Profile]:
    """The profiles that ship with the program."""
    return load_profiles(packaged_path("policies", "profiles"))


def load_profiles(directory: Path) -> dict[str, Profile]:
    """Every profile under `directory`, by id, in order of id. Raises BadDocument with the faults of all files."""
    profiles: dict[str, Profile] = {}
    faults: list[str] = []
    for path in sorted(directory.rglob("*.yaml")):
        expected = path.relative_to(directory).with_suffix("").as_posix()
        try:
            profiles[expected] = named_as(_read(path), expected, file=str(path))
        except BadDocument as fault:
            faults.append(str(fault))
    if faults:
        raise BadDocument("\n".join(faults))
    return profiles


def _read(path: Path) -> Profile:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadDocument(f"{path}: can not be read: {error}") from None
    return read_profile(text, file=str(path))

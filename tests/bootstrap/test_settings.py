"""`joulegate.yaml` is read strictly, and every fault says where it stands and what would do."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.bootstrap.settings import SettingsFile, read_settings
from gateway.domain.faults import BadDocument
from tests.bootstrap.files import ENV, SETTINGS, written


def read(home: Path, settings: str = SETTINGS) -> SettingsFile:
    return read_settings(written(home, settings=settings), ENV)


def test_what_is_left_out_has_the_default_that_the_documentation_names(tmp_path: Path) -> None:
    settings = read(tmp_path).settings

    assert (settings.listen.host, settings.admin.host) == ("127.0.0.1", "127.0.0.1")
    assert (settings.attempts, settings.workers, settings.drain_seconds) == (3, 1, 30)
    assert settings.tenancy.root == "org"
    assert settings.backends[0].timeouts.first_byte_ms == 300_000
    assert settings.redis.url is None


def test_paths_are_relative_to_the_file_that_names_them(tmp_path: Path) -> None:
    assert read(tmp_path).data_dir == tmp_path / "data"


def test_secrets_show_nowhere(tmp_path: Path) -> None:
    settings = read(tmp_path).settings

    assert "an-admin-token" not in repr(settings)
    assert "a-key-of-the-vendor" not in repr(settings)


FAULTS = [
    ("data_dir: ./data", "data_dirr: ./data", "3: data_dirr: unknown key; did you mean 'data_dir'?"),
    ("${ADMIN_TOKEN}", "${ADMIN_TOKEM}", "2: admin.token: the environment variable ADMIN_TOKEM is not set"),
    ("${ADMIN_TOKEN}", "short", "2: admin.token: shorter than 16 characters; `openssl rand -hex 16` makes one"),
    ("site: lab", "site: lap", "10: backends[0].site: there is no site 'lap'; declared under `sites`: lab"),
    ("name: hosted", "name: gpu-a", "13: backends[1].name: there is another one named gpu-a"),
    ("http://127.0.0.1:9/v1", "ftp://example.com", "9: backends[0].url: must be an http:// or https:// address"),
    ("https://api", "https://me:secret@api", "must carry no user, password, query or fragment"),
    ("{profile: demo/swift}", "{}", "model chat has no profile, so nothing says what it costs"),
    ("pue: 1.2", "pue: 0.9", "6: sites[0].pue: should be greater than or equal to 1"),
    ("data_dir: ./data", 'redis: {url: "redis://h"}', "`key_pepper` is required with `redis.url`"),
    ("data_dir: ./data", 'redis: {url: "http://h"}', "3: redis.url: must begin with redis://, rediss:// or unix://"),
]


@pytest.mark.parametrize(("good", "bad", "told"), FAULTS, ids=[told[:40] for *_, told in FAULTS])
def test_a_fault_is_told_with_its_line_and_a_remedy(tmp_path: Path, good: str, bad: str, told: str) -> None:
    with pytest.raises(BadDocument) as caught:
        read(tmp_path, SETTINGS.replace(good, bad, 1))

    assert f"{tmp_path}/joulegate.yaml:" in str(caught.value)
    assert told in str(caught.value)
    assert "me:secret" not in str(caught.value)


def test_a_missing_file_is_told_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(BadDocument, match=r"nowhere\.yaml: there is no such file"):
        read_settings(tmp_path / "nowhere.yaml", ENV)

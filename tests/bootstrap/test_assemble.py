"""Files become one snapshot, or every fault of every file."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.bootstrap.assemble import Assembly, read_assembly
from gateway.domain.amounts import Unit
from gateway.domain.faults import BadDocument
from tests.bootstrap.files import ENV, POLICY, SETTINGS, written


def assembled(home: Path, **texts: str) -> Assembly:
    return read_assembly(written(home, **texts), ENV)


def test_members_carry_what_profile_site_and_settings_say(tmp_path: Path) -> None:
    snapshot = assembled(tmp_path).snapshot

    own, hosted = snapshot.models["chat"].members
    assert (own.name, own.backend, own.upstream_model) == ("gpu-a/chat", "gpu-a", "some-model")
    assert own.rates.profile_id == "demo/steady"
    assert own.rates.zone == "DE"
    assert own.latency.ttft_base_ms == 150
    assert own.encoding == "o200k_base"
    assert "embedding" in own.capabilities
    assert hosted.upstream_model == "chat"
    assert hosted.rates.tiers[0].rated.usd_output == 8_000_000  # $8 per million tokens, in pico-dollars per token
    assert snapshot.backends["hosted"].api_key == "a-key-of-the-vendor"
    assert snapshot.budgets[0].limits == {Unit.USD_NANOS: 250_000_000_000}


def test_the_same_files_give_the_same_version_and_another_tariff_another_one(tmp_path: Path) -> None:
    first = assembled(tmp_path / "a").snapshot.version
    again = assembled(tmp_path / "b").snapshot.version
    dearer = assembled(tmp_path / "c", settings=SETTINGS.replace('"0.10"', '"0.11"')).snapshot.version

    assert first == again
    assert dearer != first


def test_the_version_does_not_hang_on_how_python_orders_sets(tmp_path: Path) -> None:
    policy = POLICY.replace("cases:", "limits:\n  - {scope: {key: '*'}, concurrent: 5}\ncases:")

    versions = {assembled(tmp_path / str(n), policy=policy).snapshot.version for n in range(3)}

    assert len(versions) == 1


def test_everything_that_a_change_of_would_matter_is_watched(tmp_path: Path) -> None:
    names = {path.name for path in assembled(tmp_path).files}

    assert names == {"joulegate.yaml", "chat.yaml", "steady.yaml", "swift.yaml"}


def test_an_unknown_profile_is_told_at_its_line_with_the_nearest_one(tmp_path: Path) -> None:
    with pytest.raises(BadDocument) as caught:
        assembled(tmp_path, settings=SETTINGS.replace("demo/steady", "demo/steadi"))

    assert str(caught.value).endswith(
        "joulegate.yaml:11: backends[0].profile: there is no profile 'demo/steadi'; did you mean 'demo/steady'?"
    )


def test_owned_hardware_without_a_site_has_no_price(tmp_path: Path) -> None:
    with pytest.raises(BadDocument, match=r"joulegate.yaml:10: .*demo/steady: its backend needs a site"):
        assembled(tmp_path, settings=SETTINGS.replace("    site: lab\n", ""))


def test_faults_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(BadDocument) as caught:
        assembled(
            tmp_path,
            settings=SETTINGS.replace("demo/steady", "demo/nothing-like-it"),
            policy=POLICY.replace("window: month", "window: fortnight"),
        )

    assert "joulegate.yaml:11" in str(caught.value)
    assert "chat.yaml:6" in str(caught.value)


def test_a_member_that_no_backend_serves_is_told_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(BadDocument, match=r"chat.yaml:4: .*there is no member 'gpu-b/chat'; did you mean 'gpu-a/chat'"):
        assembled(tmp_path, policy=POLICY.replace("[gpu-a/chat", "[gpu-b/chat"))


def test_a_profile_of_ones_own_stands_before_the_shipped_one_of_the_same_name(tmp_path: Path) -> None:
    path = written(tmp_path)
    own = tmp_path / "policies" / "profiles" / "demo"
    own.mkdir(parents=True)
    shipped = Path(__file__).parents[2] / "policies" / "profiles" / "demo" / "swift.yaml"
    (own / "swift.yaml").write_text(shipped.read_text().replace('output: "8.00"', 'output: "9.00"'))

    hosted = read_assembly(path, ENV).snapshot.models["chat"].members[1]

    assert hosted.rates.tiers[0].rated.usd_output == 9_000_000


def test_settings_that_a_reload_can_not_change_are_named(tmp_path: Path) -> None:
    before = assembled(tmp_path / "a")
    after = assembled(tmp_path / "b", settings=SETTINGS.replace("listen: {port: 0}", "listen: {port: 1}"))

    assert after.fixed_since(before) == ["listen"]

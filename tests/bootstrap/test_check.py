"""What `joulegate check` finds."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.bootstrap.check import check, kind_of, schema_of
from gateway.domain.faults import BadDocument
from gateway.feeds.packaged import packaged_path
from tests.bootstrap.files import ENV, POLICY, SETTINGS, written


def test_a_good_deployment_has_its_cases_run_and_its_budgets_shown(tmp_path: Path) -> None:
    report = check([written(tmp_path)], ENV)

    assert report.faults == []
    assert report.summary() == "4 documents, 1 policy case: all good"  # with its policy and two profiles
    assert report.budgets == [
        {
            "budget": "support-month",
            "scope": "team: support",
            "limit": "250 usd",
            "window": "month (Australia/Sydney)",
            "mode": "enforce",
        }
    ]


def test_secrets_need_not_be_set_and_those_that_were_lent_are_named(tmp_path: Path) -> None:
    report = check([written(tmp_path)], {})

    assert report.faults == []
    assert report.notes == [
        "ADMIN_TOKEN is not set here; a stand-in was used",
        "HOSTED_KEY is not set here; a stand-in was used",
    ]


def test_a_zone_without_a_figure_is_noted_since_it_leaves_carbon_unknown(tmp_path: Path) -> None:
    report = check([written(tmp_path, settings=SETTINGS.replace("zone: DE", "zone: AU-NSW"))], ENV)

    assert report.faults == []
    assert report.notes == [
        "site lab: no grid table has zone AU-NSW, so carbon is not known there; give grid_g_per_kwh and grid_source"
    ]


def test_a_case_that_routes_elsewhere_is_a_fault_with_file_line_and_what_came_instead(tmp_path: Path) -> None:
    policy = POLICY.replace("expect: {route: [gpu-a]}", "expect: {route: [hosted]}")

    (fault,) = check([written(tmp_path, policy=policy)], ENV).faults

    assert fault.startswith(f"{tmp_path}/policies/chat.yaml:8: own hardware is cheaper, so it serves: FAILED")
    assert "gpu-a" in fault


def test_faults_of_several_files_are_told_together(tmp_path: Path) -> None:
    written(tmp_path, settings=SETTINGS + "surprise: 1\n")
    (tmp_path / "policies" / "more.yaml").write_text("models: [{name: x, memberz: []}]")

    faults = check([tmp_path], ENV).faults

    assert len(faults) >= 2
    assert any("joulegate.yaml:17: surprise: unknown key" in fault for fault in faults)
    assert any("more.yaml:1" in fault for fault in faults)


def test_a_missing_path_is_a_fault(tmp_path: Path) -> None:
    assert check([tmp_path / "nowhere.yaml"], ENV).faults == [f"{tmp_path}/nowhere.yaml: there is no such file"]
    assert "no YAML file" in check([tmp_path], ENV).faults[0]


def test_a_named_file_of_another_kind_is_a_fault_and_one_found_below_a_directory_a_note(tmp_path: Path) -> None:
    stray = tmp_path / "compose.yaml"
    stray.write_text("services: {}")

    assert check([stray], ENV).faults == [
        f"{stray}: found no schema, expected settings (schema: joulegate.settings/1) "
        "or policy (schema: joulegate.policy/1) or profile (schema: joulegate.profile/1)"
    ]
    assert check([tmp_path], ENV).notes == [f"{stray}: not one of ours (no schema); left out"]


def test_everything_that_ships_is_good() -> None:
    report = check([packaged_path("policies")], {})

    assert report.faults == []
    assert report.documents >= 20


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("schema: joulegate.profile/1", "profile"),
        ("backends: []", "settings"),
        ("budgets: []", "policy"),
        ("services: {}", "no schema"),
        ("schema: other/2", "schema other/2"),
        ("- 1", "no schema"),
    ],
)
def test_a_document_is_known_by_its_schema_or_its_keys(text: str, kind: str) -> None:
    assert kind_of(text, "x.yaml") == kind


def test_the_schemas_name_the_keys_that_people_write() -> None:
    assert {"listen", "admin", "backends", "policies"} <= schema_of("settings")["properties"].keys()
    assert {"classes", "models", "budgets"} <= schema_of("policy")["properties"].keys()
    assert {"power", "price", "provenance"} <= schema_of("profile")["properties"].keys()
    with pytest.raises(BadDocument, match="there are settings, policy, profile"):
        schema_of("nonsense")

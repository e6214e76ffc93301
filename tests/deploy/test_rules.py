"""Alerts fire when they should, stay quiet when they should not, and are about metrics that exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.prometheus import promtool
from tests.support.town import Town

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy/prometheus/rules/joulegate.yml"
OURS = re.compile(r"(?<![:\w])joulegate_[a-z_]+")


def rules() -> list[dict[str, Any]]:
    document = yaml.safe_load(RULES.read_text())
    return [rule for group in document["groups"] for rule in group["rules"]]


@pytest.mark.prometheus
def test_alerts_fire_when_they_should_and_only_then() -> None:
    done = promtool("test", "rules", str(Path(__file__).parent / "joulegate_rules.test.yml"))

    assert done.returncode == 0, done.stdout + done.stderr


def test_rules_are_about_metrics_that_the_gateway_exposes() -> None:
    town = Town()
    town.live(20)
    exposed = {sample.name for family in town.metrics.registry.collect() for sample in family.samples}

    assert {name for rule in rules() for name in OURS.findall(rule["expr"])} - exposed == set()


def test_every_alert_says_what_it_means_what_to_do_and_how_urgent_it_is() -> None:
    for rule in rules():
        if "alert" in rule:
            assert set(rule["annotations"]) == {"summary", "description"}, rule["alert"]
            assert rule["labels"]["severity"] in {"page", "ticket"}, rule["alert"]


def test_descriptions_point_to_panels_that_exist() -> None:
    titles = (ROOT / "grafana/dashboards/cost.json").read_text()

    for rule in rules():
        for panel in re.findall(r"'([^']+?)'(?= |;|\.|$)", rule.get("annotations", {}).get("description", "")):
            assert f'"title": "{panel}"' in titles, (rule["alert"], panel)

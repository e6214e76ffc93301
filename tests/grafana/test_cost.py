"""The dashboard's file is what the code builds, and Grafana's provisioning leads to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from grafana.cost import DATASOURCE_UID, OUTPUT, UID, to_json
from tests.support.dashboards import read_dashboard

GRAFANA = Path(__file__).parents[2] / "grafana"


def panels() -> list[dict[str, Any]]:
    return [panel for panel in read_dashboard()["panels"] if panel["type"] != "row"]


def provisioned(path: str) -> dict[str, Any]:
    document = yaml.safe_load((GRAFANA / "provisioning" / path).read_text())
    assert isinstance(document, dict)
    return document


def test_the_committed_dashboard_is_what_the_code_builds() -> None:
    assert OUTPUT.read_text() == to_json(), "run: python -m grafana.cost"


def test_the_dashboard_keeps_its_address() -> None:
    assert (read_dashboard()["uid"], read_dashboard()["title"]) == (UID, "Joulegate: Cost")


def test_every_panel_says_what_it_shows_in_which_unit() -> None:
    for panel in panels():
        assert len(panel["description"]) > 20, panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]


def test_titles_and_numbers_of_panels_are_unique() -> None:
    everything = read_dashboard()["panels"]

    assert len({panel["title"] for panel in everything}) == len(everything)
    assert sorted(panel["id"] for panel in everything) == list(range(1, len(everything) + 1))


def test_panels_fill_whole_lines_and_none_lies_on_another() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in read_dashboard()["panels"]:
        place = panel["gridPos"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert taken.setdefault((x, y), panel["title"]) == panel["title"]
    widths = {y: sum((x, y) in taken for x in range(24)) for _, y in taken}
    assert set(widths.values()) == {24}


def test_every_panel_asks_the_chosen_data_source() -> None:
    for panel in panels():
        assert panel["datasource"]["uid"] == "${datasource}"
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${datasource}"}


def test_the_data_source_chosen_first_is_the_one_that_is_provisioned() -> None:
    (variable,) = (one for one in read_dashboard()["templating"]["list"] if one["type"] == "datasource")
    (source,) = provisioned("datasources/prometheus.yaml")["datasources"]

    assert variable["current"]["value"] == source["uid"] == DATASOURCE_UID
    assert source["type"] == "prometheus"
    assert source["isDefault"] is True


def test_the_provider_reads_files_and_allows_no_edit_that_would_be_lost() -> None:
    (provider,) = provisioned("dashboards/joulegate.yaml")["providers"]

    assert provider["type"] == "file"
    assert provider["allowUiUpdates"] is False
    assert read_dashboard()["editable"] is False


@pytest.mark.parametrize("name", ["team", "model"])
def test_variables_offer_several_values_and_all(name: str) -> None:
    (variable,) = (one for one in read_dashboard()["templating"]["list"] if one["name"] == name)

    assert (variable["multi"], variable["includeAll"], variable["allValue"]) == (True, True, ".*")

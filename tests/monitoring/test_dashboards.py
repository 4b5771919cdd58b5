# SPDX-License-Identifier: MIT
"""The dashboards are as Grafana's own types want them, and Grafana finds what they name.

`make grafana-schemas` makes the schemas from those types.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from jsonschema import Draft7Validator

from tests.monitoring.deployed import GRAFANA, dashboards, panels
from tests.system.compose import CONFIGS, SERVICES, STACK
from tests.system.processes import ROOT

SCHEMAS = orjson.loads(Path(__file__).with_name("grafana_schemas.json").read_bytes())
DASHBOARDS = [pytest.param(dashboard, id=name) for name, dashboard in dashboards().items()]
QUESTIONS = ["Is it healthy?", "Since when?", "Who is affected?", "Which part?"]
COLUMNS = 24

Json = dict[str, Any]


def faults(schema: Json, instance: Any) -> list[str]:
    errors = Draft7Validator(schema).iter_errors(instance)
    return [f"{error.json_path}: {error.message[:200]}" for error in errors]


def places(panel: Json) -> Iterator[tuple[int, int]]:
    """The cells of the grid that the panel covers."""
    grid = panel["gridPos"]
    for x in range(grid["x"], grid["x"] + grid["w"]):
        for y in range(grid["y"], grid["y"] + grid["h"]):
            yield x, y


@pytest.mark.parametrize("dashboard", DASHBOARDS)
def test_a_dashboard_is_valid(dashboard: Json) -> None:
    assert faults(SCHEMAS["dashboard"], dashboard) == []


@pytest.mark.parametrize("dashboard", DASHBOARDS)
def test_each_panel_is_valid_with_the_options_of_its_type(dashboard: Json) -> None:
    for panel in panels(dashboard):
        kind = panel["type"].replace("-", "")
        fields = panel["fieldConfig"]["defaults"].get("custom", {})
        assert faults(SCHEMAS["panel"], panel) == []
        assert faults(SCHEMAS["options"][kind], panel["options"]) == []
        assert not fields or faults(SCHEMAS["fields"][kind], fields) == []


@pytest.mark.parametrize("wrong", [{"titel": "API"}, {"graphTooltip": 3}, {"panels": [{}]}])
def test_the_schema_finds_a_wrong_key_a_wrong_value_and_a_panel_without_a_type(
    wrong: Json,
) -> None:
    [dashboard, *_] = dashboards().values()

    assert faults(SCHEMAS["dashboard"], dashboard | wrong)


@pytest.mark.parametrize("dashboard", DASHBOARDS)
def test_a_dashboard_answers_the_four_questions_in_order(dashboard: Json) -> None:
    rows = [panel["title"] for panel in dashboard["panels"] if panel["type"] == "row"]

    assert rows == QUESTIONS


@pytest.mark.parametrize("dashboard", DASHBOARDS)
def test_panels_have_ids_of_their_own_and_do_not_overlap(dashboard: Json) -> None:
    ids = [panel["id"] for panel in dashboard["panels"]]
    taken = [place for panel in dashboard["panels"] for place in places(panel)]

    assert len(set(ids)) == len(ids)
    assert len(set(taken)) == len(taken)
    assert max(x for x, _ in taken) < COLUMNS


@pytest.mark.parametrize("dashboard", DASHBOARDS)
def test_every_panel_says_what_it_shows_and_asks_the_chosen_data_source(dashboard: Json) -> None:
    for panel in panels(dashboard):
        assert panel["description"], panel["title"]
        sources = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
        assert {source["uid"] for source in sources} == {"${datasource}"}


def test_links_lead_to_the_other_dashboard() -> None:
    uids = {dashboard["uid"] for dashboard in dashboards().values()}
    links = {link["url"] for each in dashboards().values() for link in each["links"]}

    assert links == {f"/d/{uid}" for uid in uids}


def test_grafana_of_the_compose_file_loads_every_dashboard() -> None:
    [provider] = yaml.safe_load(CONFIGS["grafana-dashboards"])["providers"]
    mounted = {
        config["target"]: STACK["configs"][config["source"]].get("file")
        for config in SERVICES["grafana"]["configs"]
    }

    assert {
        f"{provider['options']['path']}/{name}": (GRAFANA / name).relative_to(ROOT).as_posix()
        for name in dashboards()
    }.items() <= mounted.items()


def test_prometheus_of_the_compose_file_loads_every_rule() -> None:
    [loaded] = yaml.safe_load(CONFIGS["prometheus"])["rule_files"]
    mounted = {
        config["target"]: STACK["configs"][config["source"]].get("file")
        for config in SERVICES["prometheus"]["configs"]
    }

    assert {path: file for path, file in mounted.items() if file} == {
        loaded.replace("*", name): f"deploy/prometheus/{name}.yml" for name in ("slo", "alerts")
    }


def test_grafana_knows_how_often_prometheus_scrapes() -> None:
    [source] = yaml.safe_load(CONFIGS["grafana-data-sources"])["datasources"]
    interval = yaml.safe_load(CONFIGS["prometheus"])["global"]["scrape_interval"]

    assert source["jsonData"]["timeInterval"] == interval


def test_the_schemas_are_those_of_the_grafana_in_the_compose_file() -> None:
    package = orjson.loads((Path(__file__).parent / "grafana" / "package.json").read_bytes())

    assert (
        re.sub(".*:", "", SERVICES["grafana"]["image"])
        == (package["devDependencies"]["@grafana/schema"])
    )

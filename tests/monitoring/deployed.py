# SPDX-License-Identifier: MIT
"""What is deployed to Prometheus and Grafana, as their files say it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson
import yaml

from tests.system.processes import ROOT

PROMETHEUS = ROOT / "deploy" / "prometheus"
GRAFANA = ROOT / "deploy" / "grafana"
RULE_FILES = [PROMETHEUS / "slo.yml", PROMETHEUS / "alerts.yml"]
TESTS_OF_RULES = [path.with_name(f"{path.stem}_test.yml") for path in RULE_FILES]
DASHBOARDS = sorted(GRAFANA.glob("*.json"))


@dataclass(frozen=True)
class Rule:
    """`name`: of the alert, or of the recorded series."""

    name: str
    query: str
    facts: dict[str, Any]

    @property
    def is_alert(self) -> bool:
        return "alert" in self.facts


def rules() -> list[Rule]:
    return [
        Rule(facts.get("alert") or facts["record"], facts["expr"], facts)
        for path in RULE_FILES
        for group in yaml.safe_load(path.read_text())["groups"]
        for facts in group["rules"]
    ]


def alerts() -> list[Rule]:
    return [rule for rule in rules() if rule.is_alert]


def dashboards() -> dict[str, dict[str, Any]]:
    """By the name of the file."""
    return {path.name: orjson.loads(path.read_bytes()) for path in DASHBOARDS}


def panels(dashboard: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The panels that show something: rows are headings."""
    return (panel for panel in dashboard["panels"] if panel["type"] != "row")

# SPDX-License-Identifier: MIT
"""The queries of the dashboards and of the rules."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.monitoring.deployed import Rule, dashboards, panels, rules

_SELECTOR = re.compile(
    r"\b((?:training|process|haproxy)_\w+|training:[\w:]+|up|ALERTS)(\{[^}]*\})?"
)


@dataclass(frozen=True)
class PanelQuery:
    dashboard: str
    panel: dict[str, Any]
    target: dict[str, Any]

    @property
    def name(self) -> str:
        return f"{self.dashboard}: {self.panel['title']} ({self.target['refId']})"

    def expression(self, rate_interval: str) -> str:
        """As Grafana sends it."""
        return str(self.target["expr"]).replace("$__rate_interval", rate_interval)


def panel_queries() -> list[PanelQuery]:
    return [
        PanelQuery(name.removesuffix(".json"), panel, target)
        for name, dashboard in dashboards().items()
        for panel in panels(dashboard)
        for target in panel["targets"]
    ]


def selectors(rule: Rule) -> Iterator[str]:
    """The series that the rule reads: `up{job="api"}`, for example."""
    for found in _SELECTOR.finditer(rule.query):
        yield re.sub(r"\s+", " ", found[0])


def rule_selectors() -> set[str]:
    return {selector for rule in rules() for selector in selectors(rule)}

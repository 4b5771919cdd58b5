# SPDX-License-Identifier: MIT
"""Each alert has a section of the runbook, and tests that it fires and that it is silent."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.monitoring.deployed import TESTS_OF_RULES, Rule, alerts
from tests.system.processes import ROOT

RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()
STEPS = ["What it means", "What users see", "How to confirm", "What to do", "It is over when"]
ALERTS = [pytest.param(alert, id=alert.name) for alert in alerts()]


def sections() -> dict[str, str]:
    """The text of each section of the runbook, by the name of its alert."""
    parts = re.split(r"^## (\w+)\n", RUNBOOK, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def cases(alert: Rule) -> Iterator[list[dict[str, Any]]]:
    """The alerts that each test of this alert expects."""
    for path in TESTS_OF_RULES:
        for test in yaml.safe_load(path.read_text())["tests"]:
            for case in test["alert_rule_test"]:
                if case["alertname"] == alert.name:
                    yield case["exp_alerts"]


def test_the_runbook_has_a_section_for_each_alert_and_no_other() -> None:
    assert list(sections()) == [alert.name for alert in alerts()]


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_names_its_section_of_the_runbook(alert: Rule) -> None:
    runbook = alert.facts["annotations"]["runbook"]

    assert runbook == f"docs/runbook.md#{alert.name.lower()}"


@pytest.mark.parametrize("name", sections())
def test_a_section_says_what_it_means_what_to_do_and_how_to_know_that_it_is_over(name: str) -> None:
    assert re.findall(r"^\*\*(.+?)\.\*\*", sections()[name], flags=re.MULTILINE) == STEPS


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_is_tested_to_fire_and_to_be_silent(alert: Rule) -> None:
    expected = list(cases(alert))

    assert [] in expected
    assert [each for each in expected if each]


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_says_how_urgent_it_is(alert: Rule) -> None:
    assert alert.facts["labels"]["severity"] in {"page", "ticket"}

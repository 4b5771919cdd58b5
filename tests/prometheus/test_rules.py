# SPDX-License-Identifier: MIT
"""promtool accepts the rules, and each alert fires in its fault and is silent otherwise."""

import subprocess
from pathlib import Path

import pytest

from tests.monitoring.deployed import RULE_FILES, TESTS_OF_RULES
from tests.optional_programs import PROMTOOL


def test_the_rules_are_valid() -> None:
    checked = promtool("check", "rules", *map(str, RULE_FILES))

    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("path", TESTS_OF_RULES, ids=lambda path: path.stem)
def test_each_alert_fires_in_its_fault_and_is_silent_otherwise(path: Path) -> None:
    tested = promtool("test", "rules", str(path))

    assert tested.returncode == 0, tested.stdout + tested.stderr


def promtool(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [PROMTOOL.path(), *arguments], capture_output=True, text=True, check=False
    )

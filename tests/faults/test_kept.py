# SPDX-License-Identifier: MIT
"""A run of the faults that was stopped goes on with --add."""

from pathlib import Path

import pytest

from tests.faults.kept import Kept
from tests.faults.verdict import verdict

CONDITIONS = {"sessions": 5000, "seconds": 25.0}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The results of a run that was stopped after its first fault."""
    file = tmp_path / "data" / "faults.json"
    found = verdict([], [], refusals=0, catch_up=0.1, take_over=None)
    Kept(file, add=False, conditions=CONDITIONS).add("none", found)
    return file


def test_goes_on_with_the_faults_that_it_lacks(file: Path) -> None:
    kept = Kept(file, add=True, conditions=CONDITIONS)

    assert kept.lacking(["none", "broker frozen"]) == ["broker frozen"]
    assert kept.verdicts["none"].catch_up == 0.1


@pytest.mark.parametrize(
    ("add", "conditions"), [(False, CONDITIONS), (True, CONDITIONS | {"sessions": 10})]
)
def test_begins_anew_without_add_or_under_other_conditions(
    file: Path, add: bool, conditions: dict[str, float]
) -> None:
    assert Kept(file, add=add, conditions=conditions).lacking(["none"]) == ["none"]

# SPDX-License-Identifier: MIT
"""A run of the faults that was stopped goes on with --add."""

from pathlib import Path

import pytest

from tests.faults.found import Found
from tests.faults.kept import Kept

CONDITIONS = {"sessions": 5000, "seconds": 25.0}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The results of a run that was stopped after its first fault."""
    file = tmp_path / "data" / "faults.json"
    found = Found(
        operations=5, acknowledged=5, events=3, lost=0, doubled=0, out_of_order=0, untrue=0,
        silence=0.2, stood_still=0.3, recovery=0.1,
    )  # fmt: skip
    Kept(file, add=False, conditions=CONDITIONS).add("none", found)
    return file


def test_goes_on_with_the_faults_that_it_lacks(file: Path) -> None:
    kept = Kept(file, add=True, conditions=CONDITIONS)

    assert kept.lacking(["none", "broker frozen"]) == ["broker frozen"]
    assert kept.found["none"].recovery == 0.1


@pytest.mark.parametrize(
    ("add", "conditions"), [(False, CONDITIONS), (True, CONDITIONS | {"sessions": 10})]
)
def test_begins_anew_without_add_or_under_other_conditions(
    file: Path, add: bool, conditions: dict[str, float]
) -> None:
    assert Kept(file, add=add, conditions=conditions).lacking(["none"]) == ["none"]

# SPDX-License-Identifier: MIT
"""docs/security.md: each threat names tests that exist, and each file is linked rightly."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text()
THREATS = PAGE.partition("## Threats")[2].partition("\n### Not protected")[0]
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in THREATS.splitlines()
    if line.startswith("| ") and not line.startswith("| Threat |")
]
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", THREATS)))


@cache
def named_in(file: str) -> set[str]:
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    tree = ast.parse((ROOT / file).read_text())
    return {each.name for each in tree.body if isinstance(each, functions)}


@pytest.mark.parametrize(("file", "test"), NAMED, ids="::".join)
def test_a_named_test_exists(file: str, test: str) -> None:
    assert test in named_in(file)


def test_every_threat_has_a_protection_and_a_test() -> None:
    assert len(ROWS) > 30
    assert not [row for row in ROWS if len(row) != 3 or not all(row) or "::test_" not in row[2]]


def test_a_name_that_is_no_test_would_be_noticed() -> None:
    [file, _] = NAMED[0]

    assert "test_that_is_not_there" not in named_in(file)
    assert "test_a_named_test_exists" in named_in("tests/unit/test_security_page.py")

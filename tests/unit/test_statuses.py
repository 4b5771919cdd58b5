# SPDX-License-Identifier: MIT
"""Every status is named wherever readers and callers look for the life of a session."""

from pathlib import Path

import pytest

from service.cli import main
from service.domain.session import SessionStatus
from service.http.openapi import introduction
from tests.contract import STATUSES

README = (Path(__file__).parents[2] / "README.md").read_text()


def test_the_contract_of_the_tests_has_every_status_in_order() -> None:
    assert list(SessionStatus) == STATUSES


@pytest.mark.parametrize(
    "text",
    [README.partition("## ")[0], main.DESCRIPTION, introduction.DESCRIPTION],
    ids=["README.md", "service/cli/main.py", "service/http/openapi/introduction.py"],
)
def test_the_life_of_a_session_has_every_status(text: str) -> None:
    assert not [each for each in SessionStatus if each not in text]

# SPDX-License-Identifier: MIT
"""The short form of `python -m tests.faults.failover`, and the form of the published table."""

import re

import pytest

from tests.faults.failover import report
from tests.faults.failover.__main__ import PAGE
from tests.faults.failover.run import run
from tests.faults.failover.scenarios import FAILOVERS

COMMANDS = 60


@pytest.mark.parametrize("name", FAILOVERS)
async def test_a_failover_loses_nothing_or_is_noticed(name: str) -> None:
    failover = FAILOVERS[name]

    found = await run(name, failover, commands=COMMANDS)

    assert failover.is_as_promised(found), found
    assert found.answers.acknowledged >= 2 * COMMANDS
    assert found.answers.operations > found.answers.acknowledged


def test_the_page_has_the_table_that_the_command_writes() -> None:
    block = PAGE.read_text().partition(report.BEGIN)[2].partition(report.END)[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in _table(block)]
    columns = {head: index for index, head in enumerate(report.HEADS)}

    assert tuple(rows[0]) == report.HEADS
    assert [row[0] for row in rows[2:]] == list(FAILOVERS)
    assert re.search(report.COMMAND.format(commands=r"\d+"), block)
    for row, failover in zip(rows[2:], FAILOVERS.values(), strict=True):
        assert (row[columns["lost"]] != "0") is failover.loses
        assert {row[columns["doubled"]], row[columns["untrue"]]} == {"0"}
        assert ("exit code 1" in row[columns["noticed by"]]) is failover.loses


def _table(block: str) -> list[str]:
    return [line for line in block.splitlines() if line.startswith("|")]

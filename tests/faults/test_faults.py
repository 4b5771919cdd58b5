# SPDX-License-Identifier: MIT
"""The short form of `make faults`: every event reaches the stream once, in order of its session."""

import re

import pytest

from tests.conftest import StartApp
from tests.faults import report
from tests.faults.__main__ import PAGE
from tests.faults.found import HEADS
from tests.faults.postgres import a_migrated_database, a_postgres
from tests.faults.run import run
from tests.faults.scenarios import LONG, SHORT, Fault, database_crashed
from tests.running import TestDatabase, running_app, test_settings

ON_A_SERVER_OF_THE_SUITE = {
    name: fault for name, fault in SHORT.items() if fault is not database_crashed
}


@pytest.mark.parametrize(
    "fault", ON_A_SERVER_OF_THE_SUITE.values(), ids=ON_A_SERVER_OF_THE_SUITE.keys()
)
async def test_the_stream_holds_every_event_once_and_in_order(
    database: TestDatabase, start_app: StartApp, fault: Fault
) -> None:
    found = await run(fault, database, await start_app(), sessions=150, seconds=1.5)

    assert found.is_clean, found
    assert found.events == 450
    assert found.acknowledged == found.operations, "the API noticed"


async def test_the_stream_holds_every_event_once_and_in_order_also_when_postgresql_crashes() -> (
    None
):
    with a_postgres() as postgres:
        async with a_migrated_database(postgres.cluster) as database:
            settings = test_settings(database_url=database.api_url)
            async with running_app(settings) as app:
                found = await run(
                    database_crashed, database, app, sessions=150, seconds=1.5, postgres=postgres
                )

    assert found.is_clean, found
    assert found.events == 450


def test_the_page_has_the_table_that_the_command_writes() -> None:
    block = PAGE.read_text().partition(report.BEGIN)[2].partition(report.END)[0]
    lines = [line for line in block.splitlines() if line.startswith("|")]
    heads, _, *rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    columns = {head: index for index, head in enumerate(heads)}

    assert tuple(heads) == HEADS
    assert [row[0] for row in rows] == list(LONG)
    assert re.search(report.COMMAND.format(sessions=r"\d+"), block)
    for row in rows:
        assert {row[columns[head]] for head in ("lost", "doubled", "untrue")} == {"0"}

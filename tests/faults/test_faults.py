# SPDX-License-Identifier: MIT
"""The short form of `make faults`: every event reaches the stream once, in order of its session."""

import pytest

from tests.conftest import StartApp
from tests.faults.postgres import a_migrated_database, a_postgres
from tests.faults.run import run
from tests.faults.scenarios import SHORT, Fault, database_crashed
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
    assert found.committed == 450
    assert found.refusals == 0, "the API noticed"


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
    assert found.committed == 450

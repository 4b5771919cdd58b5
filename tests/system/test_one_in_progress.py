# SPDX-License-Identifier: MIT
"""One session in progress per user, across processes."""

from tests.http.racing import (
    CONTENDERS,
    assert_one_started,
    on_independent_connections,
    planned_sessions,
    starting,
)
from tests.running import TestDatabase
from tests.system.processes import a_service


async def test_of_50_planned_sessions_one_starts_across_processes(database: TestDatabase) -> None:
    sessions = await planned_sessions(database)

    several = {"workers": "3", "database_pool_size": "8", "user_queue_max": str(CONTENDERS)}
    several |= {"command_timeout_seconds": "60"}
    async with a_service(database.api_url, **several) as (_, app):
        responses = await on_independent_connections(app, [starting(each) for each in sessions])

    await assert_one_started(database, responses)

# SPDX-License-Identifier: MIT
"""Hash partitions by user. The tests of units of work and reads also run on partitions."""

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from service.persistence.checks import OK
from service.persistence.readiness import Readiness
from tests.persistence.partitions import PARTITIONS
from tests.running import TestDatabase

pytestmark = pytest.mark.parametrize("layout", ["partitioned"], indirect=True)


async def test_readiness_accepts_partitions(engine: AsyncEngine) -> None:
    assert set((await Readiness(engine).checks()).values()) == {OK}


async def test_spreads_users_over_partitions(database: TestDatabase) -> None:
    for _ in range(50):
        await database.a_session()

    used = await database.value("SELECT count(DISTINCT tableoid) FROM sessions")
    assert used > 1


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE events_3 DISABLE ROW LEVEL SECURITY",
        "CREATE POLICY everything ON sessions_0 USING (true)",
    ],
)
async def test_readiness_refuses_an_open_partition(
    engine: AsyncEngine, database: TestDatabase, statement: str
) -> None:
    await database.execute(statement)

    checks = await Readiness(engine).checks()

    assert {name for name, result in checks.items() if result != OK} == {"policies"}


async def test_a_role_with_a_grant_on_a_partition_sees_no_row_of_it(database: TestDatabase) -> None:
    sessions = [await database.a_session() for _ in range(50)]
    await database.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO session_service")

    async with database.connection.transaction():
        await database.execute("SET LOCAL ROLE session_service")
        users = ",".join(str(session.user_id) for session in sessions)
        await database.execute("SELECT set_config('service.acting_users', $1, true)", users)
        assert await database.value("SELECT count(*) FROM sessions") == len(sessions)
        for number in range(PARTITIONS):
            assert await database.value(f"SELECT count(*) FROM sessions_{number}") == 0

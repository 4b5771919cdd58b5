"""Hash partitions by user. The tests of units of work and reads also run on partitions."""

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from service.persistence.readiness import OK, Readiness
from tests.running import TestDatabase

pytestmark = pytest.mark.parametrize("layout", ["partitioned"], indirect=True)


async def test_readiness_accepts_partitions(engine: AsyncEngine) -> None:
    assert set((await Readiness(engine).checks()).values()) == {OK}


async def test_spreads_users_over_partitions(database: TestDatabase) -> None:
    for _ in range(50):
        await database.a_session()

    used = await database.value("SELECT count(DISTINCT tableoid) FROM sessions")
    assert used > 1

"""The persistence layer by itself, on a database of the test's own."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from service.persistence.database import Database, Limits, create_engine
from tests.running import TestDatabase

LIMITS = Limits(
    pool_size=5,
    pool_timeout=5,
    lock_timeout=0.2,
    statement_timeout=5,
    idle_in_transaction_timeout=10,
)


@pytest.fixture
async def engine(database: TestDatabase) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(database.api_url, connect_timeout=5, pool_size=LIMITS.pool_size)
    yield engine
    await engine.dispose()


@pytest.fixture
def units(engine: AsyncEngine) -> Database:
    return Database(engine, LIMITS)

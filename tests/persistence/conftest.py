"""The persistence layer by itself, on a database of the test's own."""

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from service.persistence.engine import Database, Limits, create_engine
from tests.persistence.partitions import partitioning
from tests.running import Cluster, TestDatabase, a_pool, a_template

LIMITS = Limits(
    pool_size=5,
    pool_timeout=5,
    lock_timeout=0.2,
    statement_timeout=5,
    idle_in_transaction_timeout=10,
)


@pytest.fixture
async def engine(database: TestDatabase) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(database.api_url, connect_timeout=5)
    yield engine
    await engine.dispose()


@pytest.fixture
def statements() -> list[str]:
    """What the pool has sent to the database."""
    return []


@pytest.fixture
async def pool(database: TestDatabase, statements: list[str]) -> AsyncIterator[asyncpg.Pool]:
    async with a_pool(database.api_url, LIMITS.pool_size, statements, limits=LIMITS) as pool:
        yield pool


@pytest.fixture
def units(pool: asyncpg.Pool) -> Database:
    return Database(pool, LIMITS)


@pytest.fixture(scope="session")
def partitioned_template(cluster: Cluster, template: str) -> Iterator[str]:
    """Like `template`, but with hash partitions."""
    with ExitStack() as stack:
        with partitioning():
            name = stack.enter_context(a_template(cluster))
        yield name

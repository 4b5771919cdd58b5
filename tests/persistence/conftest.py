# SPDX-License-Identifier: MIT
"""The persistence layer alone, on a database for each test."""

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from service.persistence.database import Database, Limits
from tests.persistence.partitions import partitioning
from tests.persistence.supabase import drop_project_owner, make_supabase
from tests.reused import a_reused_database
from tests.running import Cluster, TestDatabase, a_template, an_engine

LIMITS = Limits(
    pool_size=5,
    pool_timeout=5,
    lock_timeout=0.2,
    statement_timeout=5,
    idle_in_transaction_timeout=10,
)

in_both_layouts = pytest.mark.parametrize("layout", ["whole", "partitioned"], indirect=True)
"""Plain tables, and hash partitions: the statements are the same."""


@pytest.fixture
def layout(request: pytest.FixtureRequest, template: str) -> str:
    """The name of the template that the test's database is cloned from."""
    if getattr(request, "param", "whole") == "whole":
        return template
    name: str = request.getfixturevalue("partitioned_template")
    return name


@pytest.fixture
async def database(cluster: Cluster, layout: str) -> AsyncIterator[TestDatabase]:
    async with a_reused_database(cluster, template=layout) as database:
        yield database


@pytest.fixture
async def engine(database: TestDatabase) -> AsyncIterator[AsyncEngine]:
    async with an_engine(database.api_url, LIMITS.pool_size) as engine:
        yield engine


@pytest.fixture
def statements() -> list[str]:
    """The statements that `units` has sent to the database."""
    return []


@pytest.fixture
async def units(database: TestDatabase, statements: list[str]) -> AsyncIterator[Database]:
    async with an_engine(database.api_url, LIMITS.pool_size, statements) as engine:
        yield Database(engine, LIMITS)


@pytest.fixture
async def supabase(empty_database: TestDatabase) -> AsyncIterator[TestDatabase]:
    """A database like that of a Supabase project, not migrated."""
    await make_supabase(empty_database)
    yield empty_database
    await drop_project_owner(empty_database)


@pytest.fixture(scope="session")
def partitioned_template(cluster: Cluster, template: str) -> Iterator[str]:
    """The name of a migrated database with hash partitions."""
    with ExitStack() as stack:
        with partitioning():
            name = stack.enter_context(a_template(cluster))
        yield name

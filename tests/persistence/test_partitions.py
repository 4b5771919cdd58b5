"""On hash partitions by owner, every statement of a user reads that user's partition alone."""

from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from uuid_utils.compat import uuid7

from service.application.commands import PlanSession, StartSession
from service.application.ports import LoadRequest, SessionFilter
from service.persistence.database import Database
from service.persistence.readiness import OK, Readiness
from tests.builders import a_command, a_session
from tests.persistence.conftest import LIMITS
from tests.persistence.plans import Plan, an_explained_engine, scans_of
from tests.persistence.transacting import a_failure, applied, write
from tests.running import Cluster, TestDatabase, a_database

# Enough rows for an index to be cheaper than a scan of the whole partition.
MANY_SESSIONS = """
    INSERT INTO sessions
    SELECT gen_random_uuid(), gen_random_uuid(), 'failed', now(), '{12,10}', 7, NULL, 2,
        now(), now()
    FROM generate_series(1, 20000)
"""
THEIR_EVENTS = """
    INSERT INTO events
    SELECT user_id, gen_random_uuid(), id, 2, 'session_failed', '{"reason": null}', now(), 'r',
        'retry-1', '\\x00', '{}'
    FROM sessions
"""
BY_INDEX = {"Index Scan", "Index Only Scan"}


@pytest.fixture(params=["whole", "partitioned"])
async def full_database(
    request: pytest.FixtureRequest, cluster: Cluster, template: str, partitioned_template: str
) -> AsyncIterator[TestDatabase]:
    name = template if request.param == "whole" else partitioned_template
    async with a_database(cluster, template=name) as database:
        for statement in (MANY_SESSIONS, THEIR_EVENTS, "ANALYZE"):
            await database.execute(statement)
        yield database


@pytest.fixture
async def database(cluster: Cluster, partitioned_template: str) -> AsyncIterator[TestDatabase]:
    async with a_database(cluster, template=partitioned_template) as database:
        yield database


@pytest.fixture
async def explained(full_database: TestDatabase) -> AsyncIterator[tuple[Database, list[Plan]]]:
    async with an_explained_engine(full_database, LIMITS.pool_size) as (engine, plans):
        yield Database(engine, LIMITS), plans


def scans(plans: list[Plan]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for plan in plans:
        for table, kinds in scans_of(plan).items():
            found.setdefault(table, set()).update(kinds)
    return found


async def tables_of(database: TestDatabase, user_id: UUID) -> set[str]:
    """The tables, or partitions of them, that hold the rows of this user."""
    rows = await database.fetch(
        """
        SELECT tableoid::regclass::text AS name FROM sessions WHERE user_id = $1
        UNION SELECT tableoid::regclass::text FROM events WHERE user_id = $1
        """,
        user_id,
    )
    return {row["name"] for row in rows}


async def test_commands_and_reads_find_rows_by_index_in_the_partition_of_their_user(
    full_database: TestDatabase, explained: tuple[Database, list[Plan]]
) -> None:
    units, plans = explained
    session = await full_database.a_session()
    user_id, key = session.user_id, "retry-7"
    planned = applied(a_command(kind=PlanSession, user_id=user_id, session_id=uuid7()))

    await write(units, a_failure(session, idempotency_key=key))
    await write(units, planned)
    await write(units, applied(a_command(planned.session, StartSession), planned.session))
    async with units.unit_of_work(frozenset({user_id})) as work:
        await work.load(
            [
                LoadRequest(command=a_command(session, idempotency_key=key)),
                LoadRequest(command=a_command(session), uncertain_event=uuid7()),
                LoadRequest(command=a_command(a_session(user_id=user_id))),
            ]
        )
    async with units.reader(frozenset({user_id})) as reader:
        assert len(await reader.find([(user_id, session.id)])) == 1
        assert len(await reader.newest(user_id, SessionFilter(), None, 20)) == 2
        assert len(await reader.history(user_id, session.id, 0, 20) or []) == 1

    found = scans(plans)
    assert set().union(*found.values()) <= BY_INDEX
    assert set(found) == await tables_of(full_database, user_id)


async def test_readiness_accepts_partitions(engine: AsyncEngine) -> None:
    assert set((await Readiness(engine).checks()).values()) == {OK}


async def test_refuses_a_second_session_in_progress(database: TestDatabase) -> None:
    session = await database.a_session()

    with pytest.raises(asyncpg.UniqueViolationError):
        await database.a_session(user_id=session.user_id)

# SPDX-License-Identifier: MIT
"""Reads of many users share a transaction, and each caller sees its own session alone."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from service.application.group_commit.scheduler import SchedulerLimits
from service.application.ports import Outcome
from service.application.queries import Queries
from service.domain.errors import SessionNotFound
from service.domain.session import Session
from service.persistence.database import Database
from tests.builders import a_command, a_session
from tests.group_commit.driving import LIMITS, Seen, group_commit
from tests.running import TestDatabase, an_engine, eventually

WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted"


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
async def queries(database: TestDatabase, seen: Seen) -> AsyncIterator[Queries]:
    async with an_engine(database.api_url, LIMITS.pool_size, seen.statements) as engine:
        queries = Queries(
            Database(engine, LIMITS).run_read,
            SchedulerLimits(groups_in_flight=1, group_size_max=256, queue_max=5000, timeout=60.0),
            seen.groups.append,
        )
        yield queries
        await queries.close()


async def read(queries: Queries, session: Session) -> Session:
    return await queries.session(session.user_id, session.id)


async def test_every_caller_of_a_group_sees_its_own_session_alone(
    queries: Queries, database: TestDatabase, seen: Seen
) -> None:
    sessions = [a_session() for _ in range(50)]
    await database.insert(*sessions)
    stolen = [a_session(user_id=uuid4(), id=each.id) for each in sessions[:10]]
    swapped = [a_session(user_id=sessions[-1].user_id, id=each.id) for each in sessions[:10]]

    results = await asyncio.gather(
        *(read(queries, each) for each in [*sessions, *stolen, *swapped]), return_exceptions=True
    )

    await queries.close()

    assert results[:50] == sessions
    assert {type(each) for each in results[50:]} == {SessionNotFound}
    assert [each.size for each in seen.groups] == [1, 69]


@pytest.mark.parametrize("size", [1, 10, 250])
async def test_a_group_is_one_transaction_and_one_select_whatever_its_size(
    queries: Queries, database: TestDatabase, seen: Seen, size: int
) -> None:
    sessions = [a_session() for _ in range(size + 1)]
    await database.insert(*sessions)

    await asyncio.gather(*(read(queries, each) for each in sessions))
    await queries.close()

    assert [each.size for each in seen.groups] == [1, size]
    assert len([each for each in seen.statements if "acting_users" in each]) == 2
    assert len([each for each in seen.statements if "wanted" in each]) == 2


async def test_a_cancelled_read_leaves_the_other_reads_of_its_group_their_answer(
    queries: Queries, database: TestDatabase
) -> None:
    session = await database.a_session()
    other = await database.connect()
    async with other.transaction():
        await other.execute("LOCK TABLE sessions")
        reading = asyncio.create_task(read(queries, session))
        await eventually(lambda: database.value(WAITING))
        cancelled = asyncio.create_task(read(queries, session))
        neighbour = asyncio.create_task(read(queries, session))
        await asyncio.sleep(0)
        cancelled.cancel()
    await other.close()

    assert await reading == await neighbour == session
    with pytest.raises(asyncio.CancelledError):
        await cancelled


async def test_commands_and_reads_have_slots_of_their_own(
    queries: Queries, database: TestDatabase
) -> None:
    first, *sessions = [a_session() for _ in range(20)]
    await database.insert(first, *sessions)

    async with group_commit(database.api_url) as commands:
        reading = [asyncio.create_task(read(queries, first)) for _ in range(100)]
        outcomes = await asyncio.gather(*(commands.execute(a_command(each)) for each in sessions))

    assert all(isinstance(each, Outcome) for each in outcomes)
    assert await asyncio.gather(*reading) == [first] * 100

# SPDX-License-Identifier: MIT
"""Groups that mix sessions, lists and histories of several users, against a plain model."""

import asyncio
from collections.abc import AsyncIterator
from itertools import product
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.application.commands import UpdateSession
from service.application.group_commit.scheduler import SchedulerLimits
from service.application.ports import (
    FindSession,
    HistoryEvent,
    ListSessions,
    Read,
    ReadHistory,
    SessionFilter,
)
from service.application.queries import Queries
from service.domain.session import SessionStatus
from service.persistence.database import Database
from tests.builders import A_MINUTE, MORNING, a_command
from tests.group_commit.driving import LIMITS
from tests.running import TestDatabase, an_engine
from tests.unit.in_memory import InMemoryDatabase, commands_on, results_of
from tests.unit.reading import ask, queries_on

USERS = tuple(UUID(int=number) for number in range(1, 4))
STATUSES = [
    SessionStatus.PLANNED,
    SessionStatus.IN_PROGRESS,
    SessionStatus.PLANNED,
    SessionStatus.FAILED,
    SessionStatus.COMPLETED,
]
IDS = tuple(UUID(int=number) for number in range(len(STATUSES) + 1))
"""Of the sessions of each user; the last one does not exist."""

shared_database = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60
)
users, ids, rows_max = st.sampled_from(USERS), st.sampled_from(IDS), st.integers(2, 7)
dates = st.integers(-1, 3).map(lambda minutes: MORNING + minutes * A_MINUTE)
filters = st.builds(
    SessionFilter,
    statuses=st.frozensets(st.sampled_from(SessionStatus)),
    since=st.none() | dates,
    until=st.none() | dates,
)
reads: st.SearchStrategy[Read] = st.one_of(
    st.builds(FindSession, users, ids),
    st.builds(ListSessions, users, filters, st.none() | st.tuples(dates, ids), rows_max),
    st.builds(ReadHistory, users, ids, st.integers(0, 4), rows_max),
)


@pytest.fixture
async def model(database: TestDatabase) -> Queries:
    """Of the same sessions and events as the database has; many sessions have the same date."""
    stored = InMemoryDatabase()
    for place, (user_id, (session_id, status)) in enumerate(
        product(USERS, zip(IDS, STATUSES, strict=False))
    ):
        date = MORNING + place % 3 * A_MINUTE
        stored.add(user_id=user_id, id=session_id, status=status, session_date=date, rpe=None)
    await database.insert(*stored.sessions.values())
    commands = commands_on(stored)
    for place, session in enumerate([*stored.sessions.values()]):
        if session.status in {SessionStatus.PLANNED, SessionStatus.IN_PROGRESS}:
            for rpe in range(1, 1 + place % 4):
                await commands.execute(a_command(session, UpdateSession, changes={"rpe": rpe}))

    def write(work: Any) -> None:
        work.save(stored.applied)
        work.commit()

    async with an_engine(database.api_url, LIMITS.pool_size) as engine:
        await Database(engine, LIMITS).run_unit_of_work(frozenset(USERS), write)
    return queries_on(stored)


@pytest.fixture
async def queries(database: TestDatabase) -> AsyncIterator[Queries]:
    limits = SchedulerLimits(groups_in_flight=1, group_size_max=9, queue_max=99, timeout=60)
    async with an_engine(database.api_url, LIMITS.pool_size) as engine:
        queries = Queries(Database(engine, LIMITS).run_read, limits)
        yield queries
        await queries.close()


@shared_database
@given(requests=st.lists(reads, min_size=1, max_size=15))
async def test_every_read_of_a_group_gets_the_answer_that_it_would_get_alone(
    model: Queries, queries: Queries, requests: list[Read]
) -> None:
    alone = [await results_of(ask(model, each)) for each in requests]

    together = await asyncio.gather(*(results_of(ask(queries, each)) for each in requests))

    assert [*map(comparable, together)] == [*map(comparable, alone)]


def comparable(answers: list[Any]) -> Any:
    """Two refusals are equal if they are of one kind, and two events if they have one id."""
    [answer] = answers
    if isinstance(answer, Exception):
        return type(answer)
    if isinstance(answer, tuple):
        return [each.id if isinstance(each, HistoryEvent) else each for each in answer]
    return answer

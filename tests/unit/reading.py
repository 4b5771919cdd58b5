# SPDX-License-Identifier: MIT
"""Reads of a database in memory, alone and in groups."""

import asyncio
from typing import Any

from service.application.commands import UpdateSession
from service.application.group_commit.scheduler import SchedulerLimits
from service.application.ports import (
    FindSession,
    ListSessions,
    Read,
    ReadHistory,
    SessionFilter,
)
from service.application.queries import GROUP_ROWS_MAX, Queries
from service.domain.session import Session
from tests.builders import a_command
from tests.unit.in_memory import InMemoryDatabase, commands_on

LIMIT = 50
LISTS_MAX = GROUP_ROWS_MAX // LIMIT
"""Most lists of a group."""


def queries_on(database: InMemoryDatabase, **overrides: Any) -> Queries:
    limits: dict[str, Any] = {
        "groups_in_flight": 1,
        "group_size_max": 100,
        "queue_max": 1000,
        "timeout": 60.0,
    }
    return Queries(database.run_read, SchedulerLimits(**limits | overrides))


async def add_history(database: InMemoryDatabase, events: int) -> Session:
    """A session that was updated as often."""
    session, commands = database.add(version=0, rpe=None), commands_on(database)
    for rpe in range(1, events + 1):
        await commands.execute(a_command(session, UpdateSession, changes={"rpe": rpe}))
    return session


async def read_together(
    database: InMemoryDatabase, queries: Queries, *keys: tuple[Any, Any]
) -> list[asyncio.Task[Session]]:
    """Reads the sessions in one group, behind a read of another session that holds the slot."""
    database.read_gate.clear()
    other = database.add()
    tasks = [
        asyncio.create_task(queries.session(*key)) for key in [(other.user_id, other.id), *keys]
    ]
    await database.begun.acquire()
    return tasks[1:]


def list_of(session: Session) -> ListSessions:
    return ListSessions(session.user_id, SessionFilter(), None, LIMIT + 1)


def history_of(session: Session) -> ReadHistory:
    return ReadHistory(session.user_id, session.id, 0, LIMIT + 1)


async def ask(queries: Queries, request: Read) -> Any:
    """The session, or the items of the page."""
    match request:
        case FindSession(user_id, session_id):
            return await queries.session(user_id, session_id)
        case ListSessions(user_id, wanted, after, rows_max):
            return (await queries.sessions(user_id, wanted, after=after, limit=rows_max - 1)).items
        case ReadHistory(user_id, session_id, after, rows_max):
            return (
                await queries.history(user_id, session_id, after=after, limit=rows_max - 1)
            ).items


async def ask_together(
    database: InMemoryDatabase, queries: Queries, *requests: Read
) -> list[asyncio.Task[Any]]:
    """Reads in groups, behind a read of another session that holds the slot."""
    await read_together(database, queries)
    tasks = [asyncio.create_task(ask(queries, each)) for each in requests]
    await asyncio.sleep(0)
    return tasks

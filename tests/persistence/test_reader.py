# SPDX-License-Identifier: MIT
"""Reads: one statement for all of a kind, and every request gets rows of its own user alone."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from uuid_utils.compat import uuid7

from service.application.commands import StartSession
from service.application.errors import TimedOut
from service.application.ports import (
    AppliedCommand,
    FindSession,
    HistoryEvent,
    ListSessions,
    ReadHistory,
    SessionFilter,
)
from service.domain.session import Session, SessionStatus
from service.persistence.database import Database
from tests.builders import A_MINUTE, MORNING, a_command, a_session
from tests.group_commit.proxy import a_proxy
from tests.persistence.conftest import LIMITS, in_both_layouts
from tests.persistence.stepping import open_reader
from tests.persistence.transacting import (
    LATER,
    a_failure,
    applied,
    event_id_of,
    users_of,
    write,
)
from tests.running import TestDatabase, an_engine

Read = Callable[[Any], Any]
ANY = SessionFilter()
PAGE = 20

pytestmark = in_both_layouts


def a_list(user_id: UUID, wanted: SessionFilter = ANY, **overrides: Any) -> ListSessions:
    return ListSessions(user_id, wanted, **{"after": None, "rows_max": PAGE} | overrides)


def a_history(session: Session, after: int = 0, rows_max: int = PAGE) -> ReadHistory:
    return ReadHistory(session.user_id, session.id, after, rows_max)


async def test_finds_the_sessions_of_many_users_in_one_statement(
    units: Database, database: TestDatabase, statements: list[str]
) -> None:
    sessions = [await database.a_session(sets=(12, None), rpe=rpe) for rpe in (None, 7)]
    present = [FindSession(each.user_id, each.id) for each in sessions]
    user_id = sessions[0].user_id
    absent = [FindSession(user_id, uuid7()), FindSession(user_id, sessions[1].id)]

    async with open_reader(units, users_of(*sessions)) as reader:
        found = await reader.find([*absent, *present, present[0]])

    assert found == [None, None, *sessions, sessions[0]]
    assert len([each for each in statements if "wanted" in each]) == 1


async def test_finds_no_session_of_other_users_than_the_acting_ones(
    units: Database, database: TestDatabase
) -> None:
    theirs = await database.a_session()

    async with open_reader(units, frozenset({uuid4()})) as reader:
        assert await reader.find([FindSession(theirs.user_id, theirs.id)]) == [None]
        assert await reader.newest([a_list(theirs.user_id)]) == [[]]
        assert await reader.histories([a_history(theirs)]) == [None]


async def test_lists_the_newest_first_and_the_greater_id_first_on_the_same_date(
    units: Database, database: TestDatabase
) -> None:
    user_id = uuid4()
    sessions = [
        a_session(user_id=user_id, status="failed", session_date=MORNING + minutes * A_MINUTE)
        for minutes in (2, 0, 1, 1)
    ]
    await database.insert(*sessions)
    expected = sorted(sessions, key=lambda each: (each.session_date, each.id), reverse=True)

    async with open_reader(units, frozenset({user_id})) as reader:
        second = expected[1]
        after = (second.session_date, second.id)
        found = await reader.newest(
            [a_list(user_id), a_list(user_id, after=after, rows_max=1), a_list(user_id)]
        )

    assert found == [expected, expected[2:3], expected]


async def test_since_is_inclusive_and_until_is_exclusive(
    units: Database, database: TestDatabase
) -> None:
    user_id = uuid4()
    dates = [MORNING + minutes * A_MINUTE for minutes in range(3)]
    await database.insert(
        *(a_session(user_id=user_id, status="failed", session_date=each) for each in dates)
    )
    wanted = SessionFilter(since=dates[0], until=dates[2])

    async with open_reader(units, frozenset({user_id})) as reader:
        [found] = await reader.newest([a_list(user_id, wanted)])

    assert [each.session_date for each in found] == [dates[1], dates[0]]


async def test_lists_sessions_with_one_of_the_statuses(
    units: Database, database: TestDatabase
) -> None:
    user_id = uuid4()
    sessions = [a_session(user_id=user_id, status=status) for status in SessionStatus]
    await database.insert(*sessions)
    asked = [
        frozenset({SessionStatus.PLANNED, SessionStatus.COMPLETED}),
        frozenset({SessionStatus.FAILED}),
        frozenset(SessionStatus),
    ]

    async with open_reader(units, frozenset({user_id})) as reader:
        found = await reader.newest(
            [a_list(user_id, SessionFilter(statuses=each)) for each in asked]
        )

    assert [{each.status for each in page} for page in found] == asked


async def test_tells_an_empty_history_from_a_session_that_does_not_exist(
    units: Database, database: TestDatabase
) -> None:
    session = await database.a_session()

    async with open_reader(units, users_of(session)) as reader:
        missing = a_history(a_session(user_id=session.user_id))
        found = await reader.histories([missing, a_history(session), missing])

    assert found == [None, [], None]


async def test_reads_the_events_after_a_version_oldest_first(
    units: Database, database: TestDatabase
) -> None:
    session = await database.a_session(status=SessionStatus.PLANNED)
    start = applied(a_command(session, StartSession), session)
    failure = a_failure(start.session)
    await write(units, start, failure)

    async with open_reader(units, users_of(session)) as reader:
        pages = await reader.histories(
            [
                a_history(session, after=after, rows_max=most)
                for after, most in [(1, PAGE), (1, 1), (2, PAGE), (3, PAGE)]
            ]
        )

    def event_of(change: AppliedCommand, kind: str, **data: object) -> HistoryEvent:
        return HistoryEvent(
            id=event_id_of(change),
            type=kind,
            session_version=change.session.version,
            occurred_at=LATER,
            data=data,
        )

    started = event_of(start, "session_started")
    failed = event_of(failure, "session_failed", reason="knee hurts")
    assert pages == [[started, failed], [started], [failed], []]


async def test_the_server_ends_a_read_that_takes_too_long(database: TestDatabase) -> None:
    """A lock that only the test releases stands for a statement that never ends."""
    limits = replace(LIMITS, lock_timeout=0.4, statement_timeout=0.2)

    async with an_engine(database.api_url, LIMITS.pool_size) as engine:
        units = Database(engine, limits)
        async with database.connection.transaction():
            await database.execute("LOCK TABLE sessions")
            with pytest.raises(TimedOut):
                async with open_reader(units, frozenset({uuid4()})) as reader:
                    await reader.find([FindSession(uuid4(), uuid4())])
            assert not await database.value("SELECT count(*) FROM pg_locks WHERE NOT granted")


async def test_every_read_takes_three_round_trips(database: TestDatabase) -> None:
    """BEGIN with role and users, SELECT, ROLLBACK."""
    session = await database.a_session()
    user_id = session.user_id
    every: list[Read] = [
        lambda reader: reader.find([FindSession(user_id, session.id)]),
        lambda reader: reader.newest([a_list(user_id)]),
        lambda reader: reader.histories([a_history(session)]),
    ]
    trips = []
    async with (
        a_proxy(database.api_url) as proxy,
        an_engine(proxy.url, LIMITS.pool_size) as engine,
    ):
        units = Database(engine, LIMITS)
        for read in every:
            for _ in range(2):  # the first connects, and prepares the statement
                before = proxy.sent
                await units.run_read(frozenset({user_id}), read)
            trips.append(proxy.sent - before)

    assert trips == [3, 3, 3]

"""Reads: every caller sees its own rows alone, and every page costs the same."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from uuid_utils.compat import uuid7

from service.application.errors import TimedOut
from service.application.ports import SessionFilter
from service.persistence.database import Database
from tests.builders import A_MINUTE, MORNING, a_session
from tests.group_commit.proxy import a_proxy
from tests.persistence.conftest import LIMITS
from tests.persistence.plans import an_explained_engine, executed_nodes
from tests.persistence.transacting import a_failure, event_id_of, users_of, write
from tests.running import TestDatabase, an_engine

Read = Callable[[Any], Awaitable[Any]]
ANY = SessionFilter()
MANY = 25_000
PAGE = 20


async def test_finds_the_sessions_of_many_users_in_one_statement(
    units: Database, database: TestDatabase, statements: list[str]
) -> None:
    sessions = [await database.a_session(sets=(12, None), rpe=rpe) for rpe in (None, 7)]
    keys = [(each.user_id, each.id) for each in sessions]
    absent = [(sessions[0].user_id, uuid7()), (sessions[0].user_id, sessions[1].id)]

    async with units.reader(users_of(*sessions)) as reader:
        found = await reader.find([*keys, *absent])

    assert found == dict(zip(keys, sessions, strict=True))
    assert len([each for each in statements if "wanted" in each]) == 1


async def test_finds_no_session_of_other_users_than_the_acting_ones(
    units: Database, database: TestDatabase
) -> None:
    theirs = await database.a_session()

    async with units.reader(frozenset({uuid4()})) as reader:
        assert await reader.find([(theirs.user_id, theirs.id)]) == {}
        assert await reader.newest(theirs.user_id, ANY, None, PAGE) == []
        assert await reader.history(theirs.user_id, theirs.id, 0, PAGE) is None


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

    async with units.reader(frozenset({user_id})) as reader:
        assert await reader.newest(user_id, ANY, None, PAGE) == expected
        second = expected[1]
        after = (second.session_date, second.id)
        assert await reader.newest(user_id, ANY, after, 1) == expected[2:3]


async def test_since_is_inclusive_and_until_is_exclusive(
    units: Database, database: TestDatabase
) -> None:
    user_id = uuid4()
    dates = [MORNING + minutes * A_MINUTE for minutes in range(3)]
    await database.insert(
        *(a_session(user_id=user_id, status="failed", session_date=each) for each in dates)
    )
    wanted = SessionFilter(since=dates[0], until=dates[2])

    async with units.reader(frozenset({user_id})) as reader:
        found = await reader.newest(user_id, wanted, None, PAGE)

    assert [each.session_date for each in found] == [dates[1], dates[0]]


async def test_tells_an_empty_history_from_a_session_that_does_not_exist(
    units: Database, database: TestDatabase
) -> None:
    session = await database.a_session()

    async with units.reader(users_of(session)) as reader:
        assert await reader.history(session.user_id, session.id, 0, PAGE) == []
        assert await reader.history(session.user_id, uuid7(), 0, PAGE) is None


async def test_reads_the_events_after_a_version(units: Database, database: TestDatabase) -> None:
    session = await database.a_session()
    change = a_failure(session)
    await write(units, change)

    async with units.reader(users_of(session)) as reader:
        history = await reader.history(session.user_id, session.id, 1, PAGE)
        later = await reader.history(session.user_id, session.id, 2, PAGE)

    assert history is not None
    [event] = history
    assert (event.id, event.type, event.session_version, event.data) == (
        event_id_of(change),
        "session_failed",
        2,
        {"reason": "knee hurts"},
    )
    assert later == []


async def test_the_server_ends_a_read_that_takes_too_long(database: TestDatabase) -> None:
    """A lock that only the test releases stands for a statement that never ends."""
    limits = replace(LIMITS, lock_timeout=0.4, statement_timeout=0.2)

    async with an_engine(database.api_url, LIMITS.pool_size) as engine:
        units = Database(engine, limits)
        async with database.connection.transaction():
            await database.execute("LOCK TABLE sessions")
            with pytest.raises(TimedOut):
                async with units.reader(frozenset({uuid4()})) as reader:
                    await reader.find([(uuid4(), uuid4())])
            assert not await database.value("SELECT count(*) FROM pg_locks WHERE NOT granted")


async def test_every_read_takes_three_round_trips(database: TestDatabase) -> None:
    """BEGIN with role and users, SELECT, ROLLBACK."""
    session = await database.a_session()
    user_id = session.user_id
    every: list[Read] = [
        lambda reader: reader.find([(user_id, session.id)]),
        lambda reader: reader.newest(user_id, ANY, None, PAGE),
        lambda reader: reader.history(user_id, session.id, 0, PAGE),
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
                async with units.reader(frozenset({user_id})) as reader:
                    await read(reader)
            trips.append(proxy.sent - before)

    assert trips == [3, 3, 3]


async def test_page_1000_costs_as_much_as_page_1(database: TestDatabase) -> None:
    """For a user with 25,000 sessions, among as many sessions of other users."""
    user_id = uuid4()
    await _insert_many(database, user_id)
    positions = await database.fetch(
        "SELECT session_date, id FROM sessions WHERE user_id = $1 ORDER BY 1 DESC, 2 DESC", user_id
    )
    last = positions[999 * PAGE - 1]

    async with an_explained_engine(database, LIMITS.pool_size) as (engine, plans):
        units = Database(engine, LIMITS)
        for after in [None, (last["session_date"], last["id"])] * 10:
            plans.clear()
            async with units.reader(frozenset({user_id})) as reader:
                assert len(await reader.newest(user_id, ANY, after, PAGE + 1)) == PAGE + 1
            await asyncio.sleep(0)
            [plan] = [each for each in plans if each["Node Type"] == "Limit"]
            scans = [each for each in executed_nodes(plan) if "Index Name" in each]
            assert [(each["Node Type"], each["Index Name"]) for each in scans] == [
                ("Index Scan", "sessions_newest_first_idx")
            ]
            [scan] = scans
            assert scan["Shared Hit Blocks"] + scan["Shared Read Blocks"] <= 2 * PAGE


async def _insert_many(database: TestDatabase, user_id: UUID) -> None:
    for owner in ("$1::uuid", "gen_random_uuid()"):
        await database.execute(
            f"""
            INSERT INTO sessions
            SELECT {owner}, gen_random_uuid(), 'planned', $2::timestamptz - n * $3::interval,
                '{{12,10}}', NULL, NULL, 1, now(), now()
            FROM generate_series(1, {MANY}) AS n WHERE $1::uuid IS NOT NULL
            """,
            user_id,
            MORNING,
            timedelta(hours=1),
        )
    await database.execute("ANALYZE sessions")

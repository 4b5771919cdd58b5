# SPDX-License-Identifier: MIT
"""LOAD: locks rows and users without waiting, and reads the state that each command meets."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import uuid4

import asyncpg
import pytest
from uuid_utils.compat import uuid7

from service.application.commands import PlanSession, StartSession
from service.application.ports import LoadRequest
from service.domain.session import SessionStatus
from service.persistence.database import Database
from tests.builders import a_command, a_session
from tests.persistence.conftest import LIMITS, in_both_layouts
from tests.persistence.stepping import open_unit_of_work
from tests.persistence.transacting import (
    a_failure,
    applied,
    event_id_of,
    load,
    users_of,
    write,
)
from tests.running import TestDatabase, an_engine, eventually

pytestmark = in_both_layouts

LOCK_USER = "SELECT pg_advisory_xact_lock(1395864371, hashtext($1))"


@pytest.fixture
async def other(database: TestDatabase) -> AsyncIterator[asyncpg.Connection]:
    """Another transaction, which is open."""
    connection = await database.connect()
    transaction = connection.transaction()
    await transaction.start()
    yield connection
    await transaction.rollback()
    await connection.close()


async def test_loads_sessions_as_they_were_stored(units: Database, database: TestDatabase) -> None:
    sessions = [
        await database.a_session(sets=sets, rpe=rpe, notes=notes)
        for sets, rpe, notes in [((), None, None), ((None,), 1, "ból barku"), ((1, 1000), 10, "")]
    ]

    async with open_unit_of_work(units, users_of(*sessions)) as work:
        loaded = await load(work, *map(a_command, sessions), a_command(sessions[0]))

    assert [each.session for each in loaded] == [*sessions, sessions[0]]
    assert not any(each.must_wait for each in loaded)


async def test_loads_no_session_that_does_not_exist(units: Database) -> None:
    command = a_command()

    async with open_unit_of_work(units, frozenset({command.user_id})) as work:
        [loaded] = await load(work, command)

    assert (loaded.session, loaded.must_wait) == (None, False)


async def test_locks_the_row_until_the_transaction_ends(
    units: Database, database: TestDatabase, other: asyncpg.Connection
) -> None:
    session = await database.a_session()

    async def may_lock(strength: str) -> bool:
        rows = f"SELECT FROM sessions FOR {strength} SKIP LOCKED"
        return bool(await other.fetchval(f"SELECT count(*) FROM ({rows}) AS rows"))

    async with open_unit_of_work(units, users_of(session)) as work:
        await load(work, a_command(session))
        assert not await may_lock("NO KEY UPDATE")
        assert await may_lock("KEY SHARE")  # as the foreign key of an event does
    assert await may_lock("NO KEY UPDATE")


async def test_a_row_that_another_transaction_holds_must_wait(
    units: Database, database: TestDatabase, other: asyncpg.Connection
) -> None:
    free, held = await database.a_session(), await database.a_session()
    await other.execute("SELECT FROM sessions WHERE id = $1 FOR UPDATE", held.id)

    async with open_unit_of_work(units, users_of(free, held)) as work:
        loaded = await load(work, a_command(free), a_command(held))

    assert [each.must_wait for each in loaded] == [False, True]


async def test_a_user_whom_another_transaction_holds_must_wait(
    units: Database, database: TestDatabase, other: asyncpg.Connection
) -> None:
    free, held = [await database.a_session(status=SessionStatus.PLANNED) for _ in range(2)]
    await other.execute(LOCK_USER, str(held.user_id))

    async with open_unit_of_work(units, users_of(free, held)) as work:
        loaded = await load(work, *(a_command(each, StartSession) for each in (free, held)))

    assert [each.must_wait for each in loaded] == [False, True]


async def test_a_command_that_locks_no_user_does_not_wait_for_one(
    units: Database, database: TestDatabase, other: asyncpg.Connection
) -> None:
    session = await database.a_session()
    await other.execute(LOCK_USER, str(session.user_id))

    async with open_unit_of_work(units, users_of(session)) as work:
        [loaded] = await load(work, a_command(session))

    assert not loaded.must_wait


async def test_two_transactions_do_not_lock_the_same_user(
    units: Database, database: TestDatabase
) -> None:
    one = await database.a_session(status=SessionStatus.PLANNED)
    two = await database.a_session(status=SessionStatus.PLANNED, user_id=one.user_id)

    async with (
        open_unit_of_work(units, users_of(one)) as first,
        open_unit_of_work(units, users_of(one)) as second,
    ):
        [loaded_first] = await load(first, a_command(one, StartSession))
        [loaded_second] = await load(second, a_command(two, StartSession))

    assert (loaded_first.must_wait, loaded_second.must_wait) == (False, True)


async def test_sees_what_the_last_holder_of_the_user_committed(units: Database) -> None:
    """Also in a transaction that began before, so that a key is used once."""
    user_id = uuid4()
    first, second = (
        a_command(
            kind=PlanSession,
            user_id=user_id,
            session_id=uuid7(),
            start_now=True,
            idempotency_key="tap-1",
        )
        for _ in range(2)
    )
    started = applied(first)

    async with open_unit_of_work(units, frozenset({user_id})) as work:
        await load(work, a_command(user_id=user_id))
        await write(units, started)
        [loaded] = await load(work, second)

    assert not loaded.must_wait
    assert loaded.active_session_id == started.session.id
    assert loaded.idempotency_record
    assert loaded.idempotency_record.session == started.session


async def test_loads_the_session_in_progress_of_locked_users_alone(
    units: Database, database: TestDatabase
) -> None:
    running = await database.a_session()
    planned = await database.a_session(user_id=running.user_id, status=SessionStatus.PLANNED)
    ended = await database.a_session(status=SessionStatus.FAILED)
    plan = a_command(
        kind=PlanSession, user_id=running.user_id, session_id=uuid7(), idempotency_key="k"
    )

    async with open_unit_of_work(units, users_of(running, ended)) as work:
        loaded = await load(
            work,
            a_command(planned, StartSession),
            a_command(running),
            a_command(ended, StartSession),
            plan,
        )

    assert [each.active_session_id for each in loaded] == [running.id, None, None, running.id]


async def test_loads_the_idempotency_record_of_the_users_key(
    units: Database, database: TestDatabase
) -> None:
    session = await database.a_session(sets=(12, None), notes="ból barku")
    change = a_failure(session, idempotency_key="retry-1")
    await write(units, change)
    stranger = a_session()
    keys = [(session, "retry-1"), (session, "retry-2"), (stranger, "retry-1"), (session, None)]

    async with open_unit_of_work(units, users_of(session, stranger)) as work:
        loaded = await load(work, *(a_command(each, idempotency_key=key) for each, key in keys))

    record, *others = [each.idempotency_record for each in loaded]
    assert record
    assert record.session == change.session
    assert record.fingerprint == change.command.fingerprint()
    assert others == [None, None, None]


async def test_finds_out_whether_an_uncertain_event_was_committed(
    units: Database, database: TestDatabase
) -> None:
    change = a_failure(await database.a_session())
    await write(units, change)
    uncertain = [event_id_of(change), uuid7(), None]

    async with open_unit_of_work(units, users_of(change.session)) as work:
        loaded = await work.load(
            [LoadRequest(command=change.command, uncertain_event=each) for each in uncertain]
        )

    assert [each.is_committed for each in loaded] == [True, False, False]


async def test_sees_no_row_of_other_users_than_the_acting_ones(
    units: Database, database: TestDatabase
) -> None:
    theirs = await database.a_session()
    change = a_failure(theirs, idempotency_key="k")
    await write(units, change)
    await database.a_session(user_id=theirs.user_id)
    start = a_command(theirs, StartSession, idempotency_key="k")

    async with open_unit_of_work(units, frozenset({uuid4()})) as work:
        [loaded] = await work.load(
            [LoadRequest(command=start, uncertain_event=event_id_of(change))]
        )

    found = (loaded.session, loaded.active_session_id, loaded.idempotency_record)
    assert found == (None, None, None)
    assert not loaded.is_committed


async def test_a_row_that_changed_after_the_statement_began_must_wait(
    units: Database, database: TestDatabase
) -> None:
    """LOAD sees the old row, but another transaction has committed a new version before the lock.

    The policy's function waits for the test, so that LOAD stands still after it took its snapshot.
    The rest of the group is loaded all the same. On partitions, PostgreSQL 18.6 may crash here.
    """
    committed = a_failure(await database.a_session())
    await write(units, committed)
    sessions = [await database.a_session() for _ in range(20)]
    changed = sessions[0]
    asked = [LoadRequest(command=a_command(each)) for each in sessions]
    uncertain = LoadRequest(command=committed.command, uncertain_event=event_id_of(committed))
    await database.execute("""
        CREATE OR REPLACE FUNCTION service_acting_users() RETURNS uuid[] LANGUAGE sql STABLE AS $$
            SELECT string_to_array(current_setting('service.acting_users'), ',')::uuid[]
            FROM (SELECT pg_advisory_xact_lock_shared(7)) AS waited
        $$
    """)
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    limits = replace(LIMITS, lock_timeout=4)

    async with (
        an_engine(database.api_url, LIMITS.pool_size) as engine,
        open_unit_of_work(Database(engine, limits), users_of(*sessions, committed.session)) as work,
    ):
        await database.execute("SELECT pg_advisory_lock(7)")
        loading = asyncio.create_task(work.load([*asked, uncertain]))
        await eventually(lambda: database.value(waiting))
        change = "UPDATE sessions SET version = 2, notes = 'changed' WHERE id = $1"
        await database.execute(change, changed.id)
        await database.execute("SELECT pg_advisory_unlock(7)")
        loaded = await loading

    assert [each.session for each in loaded] == [*sessions, committed.session]
    assert [each.session for each in loaded if each.must_wait] == [changed]
    assert [each.session for each in loaded if each.is_committed] == [committed.session]

"""One transaction: all of it or nothing, for many sessions as for one."""

from collections.abc import AsyncIterator
from copy import copy
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine
from uuid_utils.compat import uuid7

from service.application.commands import FailSession
from service.application.errors import (
    CommitUnknown,
    ConnectionLost,
    Contended,
    DependencyUnavailable,
    Overloaded,
    TimedOut,
)
from service.application.ports import Change
from service.domain.reason import Reason
from service.domain.session import Session, SessionStatus
from service.persistence.database import Database, create_engine
from service.persistence.errors import sqlstate
from tests.builders import A_MINUTE, MORNING, a_command, a_session
from tests.persistence.conftest import LIMITS
from tests.running import Cluster, TestDatabase, a_database, eventually

LATER = MORNING + A_MINUTE
KILL_SERVICE = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


@pytest.fixture(params=["whole", "partitioned"])
async def database(
    request: pytest.FixtureRequest, cluster: Cluster, template: str, partitioned_template: str
) -> AsyncIterator[TestDatabase]:
    """With tables that are whole, and with hash partitions: the code is the same."""
    name = template if request.param == "whole" else partitioned_template
    async with a_database(cluster, template=name) as database:
        yield database


def a_change(session: Session, **overrides: object) -> Change:
    """The session as `fail` leaves it; the given one stays as it is."""
    command = a_command(session, reason=Reason("knee hurts"), **overrides)
    after = copy(session)
    happened = command.apply(after, at=LATER)
    return Change(event_id=uuid7(), event=happened, session=after, command=command)


def users_of(*sessions: Session) -> frozenset[UUID]:
    return frozenset(session.user_id for session in sessions)


async def test_writes_session_event_and_outbox(units: Database, database: TestDatabase) -> None:
    session = await database.a_session(version=4)
    untouched = await database.row(session)
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    change = a_change(session, traceparent=trace)

    async with units.unit_of_work(users_of(session)) as work:
        await work.save([change])
        await work.commit()

    assert await database.row(session) == untouched | {
        "status": "failed",
        "version": 5,
        "updated_at": LATER,
    }
    assert await database.events() == [
        {
            "user_id": session.user_id,
            "id": change.event_id,
            "session_id": session.id,
            "session_version": 5,
            "event_type": "session_failed",
            "event_data": {"reason": "knee hurts"},
            "occurred_at": LATER,
            "request_id": "a-request",
            "idempotency_key": None,
            "command_fingerprint": None,
            "session_snapshot": None,
            "traceparent": trace,
        }
    ]
    assert await database.outbox() == [change.event_id]


async def test_rolls_back_unless_committed(units: Database, database: TestDatabase) -> None:
    session = await database.a_session()

    async with units.unit_of_work(users_of(session)) as work:
        await work.save([a_change(session)])

    assert (await database.row(session))["status"] == "in_progress"
    assert await database.events() == await database.outbox() == []


async def test_rolls_back_when_something_raises(units: Database, database: TestDatabase) -> None:
    session = await database.a_session()

    with pytest.raises(ZeroDivisionError):
        async with units.unit_of_work(users_of(session)) as work:
            await work.save([a_change(session)])
            raise ZeroDivisionError

    assert (await database.row(session))["status"] == "in_progress"
    assert await database.events() == await database.outbox() == []


async def test_writes_nothing_when_one_of_many_is_no_longer_as_it_was_read(
    units: Database, database: TestDatabase
) -> None:
    sessions = [await database.a_session() for _ in range(3)]
    await database.execute("UPDATE sessions SET version = 9 WHERE id = $1", sessions[1].id)

    with pytest.raises(Contended):
        async with units.unit_of_work(users_of(*sessions)) as work:
            await work.save([a_change(session) for session in sessions])
            await work.commit()

    assert {row["status"] for row in await database.fetch("SELECT status FROM sessions")} == {
        "in_progress"
    }
    assert await database.events() == await database.outbox() == []


async def test_writes_a_session_that_changed_twice_once_and_both_events(
    units: Database, database: TestDatabase
) -> None:
    planned = await database.a_session(status=SessionStatus.PLANNED)
    started = copy(planned)
    command = a_command(planned)
    start = Change(
        event_id=uuid7(), event=started.start(at=MORNING), session=started, command=command
    )
    failure = a_change(started)

    async with units.unit_of_work(users_of(planned)) as work:
        await work.save([start, failure])
        await work.commit()

    row = await database.row(planned)
    assert (row["status"], row["version"]) == ("failed", 3)
    assert [each["session_version"] for each in await database.events()] == [2, 3]
    assert await database.outbox() == [start.event_id, failure.event_id]


async def test_keeps_sets_with_and_without_gaps(units: Database, database: TestDatabase) -> None:
    sets = [(), (None,), (1, 1000), (12, None, 10)]
    sessions = [await database.a_session(sets=each) for each in sets]

    async with units.unit_of_work(users_of(*sessions)) as work:
        await work.save([a_change(session) for session in sessions])
        await work.commit()

    assert [tuple((await database.row(session))["sets"]) for session in sessions] == sets


async def test_statement_count_does_not_depend_on_size(
    units: Database, engine: AsyncEngine, database: TestDatabase
) -> None:
    statements: list[str] = []
    event.listen(
        engine.sync_engine,
        "before_cursor_execute",
        lambda _conn, _cursor, statement, *_: statements.append(statement),
    )
    counts = []
    for size in (1, 100):
        sessions = [a_session() for _ in range(size)]
        await database.insert(*sessions)
        statements.clear()
        keys = {(session.user_id, session.id) for session in sessions}
        async with units.unit_of_work(users_of(*sessions)) as work:
            locked = await work.sessions.lock(keys)
            await work.save([a_change(session) for session in locked.values()])
            await work.commit()
        counts.append(len(statements))

    assert counts == [2, 2]
    assert len(await database.outbox()) == 101


async def test_finds_what_was_stored(units: Database, database: TestDatabase) -> None:
    session = await database.a_session()

    async with units.unit_of_work(users_of(session)) as work:
        found = await work.sessions.find((session.user_id, session.id))
        missing = await work.sessions.find((session.user_id, uuid7()))

    assert found == session
    assert missing is None


async def test_leaves_out_locked_rows_and_knows_that_they_exist(
    units: Database, database: TestDatabase
) -> None:
    free, locked = await database.a_session(), await database.a_session()
    missing = (free.user_id, uuid7())
    keys = {(free.user_id, free.id), (locked.user_id, locked.id), missing}

    async with database.connection.transaction():
        await database.execute("SELECT FROM sessions WHERE id = $1 FOR UPDATE", locked.id)
        async with units.unit_of_work(users_of(free, locked)) as work:
            found = await work.sessions.lock(keys)
            existing = await work.sessions.existing(keys - found.keys())

    assert list(found.values()) == [free]
    assert existing == {(locked.user_id, locked.id)}


@pytest.mark.parametrize(
    ("failure", "translation"),
    [
        ("lock_not_available", Contended),
        ("deadlock_detected", Contended),
        ("query_canceled", TimedOut),
        ("read_only_sql_transaction", DependencyUnavailable),
        ("disk_full", DependencyUnavailable),
        ("admin_shutdown", ConnectionLost),
        ("raise_exception", DBAPIError),
    ],
)
async def test_tells_what_became_of_it_in_the_applications_words(
    units: Database, database: TestDatabase, failure: str, translation: type[Exception]
) -> None:
    session = await database.a_session()
    await database.execute(f"""
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE {failure}; END $$
    """)
    await database.execute(
        "CREATE TRIGGER refuse BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION refuse()"
    )

    with pytest.raises(translation):
        async with units.unit_of_work(users_of(session)) as work:
            await work.save([a_change(session)])


async def test_a_role_that_cannot_be_assumed_is_told_as_what_it_is(
    units: Database, database: TestDatabase
) -> None:
    await database.execute(f"REVOKE session_service FROM {database.cluster.api_role}")
    try:
        for _ in range(3):
            with pytest.raises((DBAPIError, ConnectionLost)) as refused:
                async with units.unit_of_work(frozenset({uuid4()})) as work:
                    await work.sessions.find((uuid4(), uuid4()))
            if isinstance(refused.value, DBAPIError):
                assert sqlstate(refused.value) == "42501"
                return
        raise AssertionError("it was never told")
    finally:
        await database.execute(f"GRANT session_service TO {database.cluster.api_role}")


async def test_nothing_runs_before_the_role_is_assumed(
    units: Database, engine: AsyncEngine
) -> None:
    """Were BEGIN to come in another form, or not at all."""
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        driver: Any = (await connection.get_raw_connection()).driver_connection
        driver.opening = "SELECT 1"
        with pytest.raises(DBAPIError, match="has to begin"):
            await connection.exec_driver_sql("SELECT 1")
        with pytest.raises(asyncpg.InterfaceError, match="has to begin"):
            await driver.execute("SELECT 1")
        driver.opening = None


async def test_cuts_a_connection_whose_server_does_not_answer(database: TestDatabase) -> None:
    """COMMIT waits for a lock that only the test can release, which is as good as for ever."""
    session = await database.a_session()
    await database.execute("""
        CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            SET LOCAL statement_timeout = 0;
            SET LOCAL lock_timeout = 0;
            PERFORM pg_advisory_xact_lock(1); RETURN NULL;
        END $$
    """)
    await database.execute("""
        CREATE CONSTRAINT TRIGGER wait AFTER INSERT ON events
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION wait()
    """)
    limits = replace(
        LIMITS, lock_timeout=0.1, statement_timeout=0.2, idle_in_transaction_timeout=0.3
    )
    engine = create_engine(database.api_url, connect_timeout=5)

    async with database.connection.transaction():
        await database.execute("SELECT pg_advisory_xact_lock(1)")
        with pytest.raises(CommitUnknown):
            async with Database(engine, limits).unit_of_work(users_of(session)) as work:
                await work.save([a_change(session)])
                await work.commit()
    await engine.dispose()


async def test_remembers_what_a_key_stands_for(units: Database, database: TestDatabase) -> None:
    session = await database.a_session(sets=(12, None), notes="ból barku")
    change = a_change(session, idempotency_key="retry-1")

    async with units.unit_of_work(users_of(session)) as work:
        await work.save([change])
        await work.commit()
    keys = {(session.user_id, "retry-1"), (session.user_id, "retry-2"), (uuid4(), "retry-1")}
    async with units.unit_of_work(users_of(session)) as work:
        remembered = await work.events.remembered(keys)

    [(key, memory)] = remembered.items()
    assert key == (session.user_id, "retry-1")
    assert memory.session == change.session
    assert memory.fingerprint == change.command.fingerprint()


async def test_a_key_is_unique_per_user(units: Database, database: TestDatabase) -> None:
    user_id = uuid4()
    first = await database.a_session(user_id=user_id)
    second = await database.a_session(user_id=user_id, status=SessionStatus.PLANNED)
    running = copy(second)
    running.status = SessionStatus.IN_PROGRESS

    with pytest.raises(Contended):
        async with units.unit_of_work(users_of(first)) as work:
            await work.save([a_change(each, idempotency_key="k") for each in (first, running)])

    assert await database.events() == []


async def test_knows_whether_an_event_was_recorded(units: Database, database: TestDatabase) -> None:
    session = await database.a_session()
    change = a_change(session)
    async with units.unit_of_work(users_of(session)) as work:
        await work.save([change])
        await work.commit()

    async with units.unit_of_work(users_of(session)) as work:
        mine, other = (session.user_id, change.event_id), (session.user_id, uuid7())
        assert await work.events.recorded({mine, other}) == {change.event_id}


async def test_says_that_nothing_was_written_when_killed_before_commit(
    units: Database, database: TestDatabase
) -> None:
    session = await database.a_session()

    with pytest.raises(ConnectionLost):
        async with units.unit_of_work(users_of(session)) as work:
            await work.save([a_change(session)])
            await database.execute(KILL_SERVICE)
            await work.sessions.find((session.user_id, session.id))

    assert (await database.row(session))["status"] == "in_progress"
    assert await database.events() == await database.outbox() == []


async def test_cannot_say_what_became_of_it_when_killed_at_commit(
    units: Database, database: TestDatabase
) -> None:
    session = await database.a_session()

    with pytest.raises(CommitUnknown):
        async with units.unit_of_work(users_of(session)) as work:
            await work.save([a_change(session)])
            await database.execute(KILL_SERVICE)
            await work.commit()

    async with units.unit_of_work(users_of(session)) as work:
        assert await work.sessions.find((session.user_id, session.id)) == session


async def test_a_refusal_at_commit_is_certain(units: Database, database: TestDatabase) -> None:
    session = await database.a_session()
    await database.execute("""
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE serialization_failure; END $$
    """)
    await database.execute("""
        CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON events
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()
    """)

    with pytest.raises(Contended):
        async with units.unit_of_work(users_of(session)) as work:
            await work.save([a_change(session)])
            await work.commit()

    assert (await database.row(session))["status"] == "in_progress"


async def test_acts_for_somebody_or_not_at_all(units: Database) -> None:
    with pytest.raises(ValueError, match="somebody"):
        async with units.unit_of_work(frozenset()):
            pass


async def test_leaves_no_transaction_and_no_setting_behind(
    units: Database, engine: AsyncEngine, database: TestDatabase
) -> None:
    session = await database.a_session()

    async with units.unit_of_work(users_of(session)) as work:
        await work.sessions.find((session.user_id, session.id))

    states = "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'"
    await eventually(lambda: _is_zero(database, states))
    async with engine.connect() as connection:
        row = (
            await connection.exec_driver_sql(
                "SELECT current_user, current_setting('service.acting_users', true)"
            )
        ).one()
    assert tuple(row) == (database.cluster.api_role, "")


async def _is_zero(database: TestDatabase, query: str) -> bool:
    return bool(await database.value(query) == 0)


async def test_is_unavailable_when_nobody_listens(database: TestDatabase) -> None:
    engine = create_engine("postgresql://nobody@127.0.0.1:1/nothing", connect_timeout=5)

    with pytest.raises(DependencyUnavailable):
        async with Database(engine, LIMITS).unit_of_work(frozenset({uuid4()})):
            pass
    await engine.dispose()


async def test_is_unavailable_when_the_login_is_refused(database: TestDatabase) -> None:
    url = database.cluster.url("no_such_database")
    engine = create_engine(url, connect_timeout=5)

    with pytest.raises(DependencyUnavailable):
        async with Database(engine, LIMITS).unit_of_work(frozenset({uuid4()})):
            pass
    await engine.dispose()


async def test_is_overloaded_when_no_connection_becomes_free(engine: AsyncEngine) -> None:
    limits = replace(LIMITS, pool_size=1, pool_timeout=0.01)
    units = Database(engine, limits)

    async with units.unit_of_work(frozenset({uuid4()})):
        with pytest.raises(Overloaded):
            async with units.unit_of_work(frozenset({uuid4()})):
                pass


@pytest.mark.parametrize(("transaction_pooler", "kept"), [(True, 0), (False, 1)])
async def test_keeps_no_prepared_statement_behind_a_transaction_pooler(
    database: TestDatabase, transaction_pooler: bool, kept: int
) -> None:
    engine = create_engine(
        database.api_url, connect_timeout=5, transaction_pooler=transaction_pooler
    )
    session = await database.a_session()

    for _ in range(2):
        async with Database(engine, LIMITS).unit_of_work(users_of(session)) as work:
            assert await work.sessions.find((session.user_id, session.id)) == session
    async with engine.connect() as connection:
        named = text("SELECT statement FROM pg_prepared_statements WHERE statement LIKE :ours")
        statements = await connection.scalars(named, {"ours": "SELECT sessions%"})
        assert len(statements.all()) == kept
    await engine.dispose()


def test_commands_are_the_same_when_they_ask_the_same() -> None:
    session = a_session()
    command = a_command(session, reason=Reason("knee"))

    assert command.fingerprint() == a_command(session, reason=Reason("knee")).fingerprint()
    others = [
        a_command(session),
        a_command(session, reason=Reason("hip")),
        FailSession(
            user_id=session.user_id, session_id=uuid7(), request_id="r", reason=Reason("knee")
        ),
    ]
    assert command.fingerprint() not in {other.fingerprint() for other in others}

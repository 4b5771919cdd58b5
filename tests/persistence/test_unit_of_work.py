"""One transaction: all of it or nothing, for many sessions as for one."""

from collections.abc import AsyncIterator
from copy import copy
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from uuid_utils.compat import uuid7

from service.application.commands import (
    Command,
    FailSession,
    PlanSession,
    SessionKey,
    Situation,
    StartSession,
)
from service.application.errors import (
    CommitUnknown,
    ConnectionLost,
    Contended,
    DependencyUnavailable,
    Overloaded,
    TimedOut,
)
from service.application.ports import Change
from service.domain.session import Session, SessionStatus
from service.domain.text import Notes, Reason
from service.persistence.database import Database
from tests.builders import A_MINUTE, MORNING, a_command, a_session
from tests.persistence.conftest import LIMITS
from tests.running import Cluster, TestDatabase, a_database, a_pool, eventually

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


def change_of(command: Command, session: Session | None = None) -> Change:
    """What the command does to the session, which stays as it is."""
    after, happened = command.apply(session, Situation(at=LATER))
    return Change(command=command, session=after, events=tuple((uuid7(), e) for e in happened))


def a_change(session: Session, **overrides: Any) -> Change:
    return change_of(a_command(session, reason=Reason("knee hurts"), **overrides), session)


def event_id_of(change: Change) -> UUID:
    [(event_id, _)] = change.events
    return event_id


def key_of(session: Session) -> SessionKey:
    return session.user_id, session.id


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
            "id": event_id_of(change),
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
    assert await database.outbox() == [event_id_of(change)]


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
    start = change_of(a_command(planned, StartSession), planned)
    failure = a_change(start.session)

    async with units.unit_of_work(users_of(planned)) as work:
        await work.save([start, failure])
        await work.commit()

    row = await database.row(planned)
    assert (row["status"], row["version"]) == ("failed", 3)
    assert [each["session_version"] for each in await database.events()] == [2, 3]
    assert await database.outbox() == [event_id_of(start), event_id_of(failure)]


async def test_inserts_a_session_with_its_events(units: Database, database: TestDatabase) -> None:
    wanted = {
        "sets": (12, None),
        "notes": Notes("leg day"),
        "start_now": True,
        "idempotency_key": "k",
    }
    change = change_of(a_command(None, PlanSession, **wanted))

    async with units.unit_of_work(users_of(change.session)) as work:
        await work.save([change])
        await work.commit()
        key = (change.session.user_id, "k")
    async with units.unit_of_work(users_of(change.session)) as work:
        remembered = await work.events.remembered({key})
        locked = await work.sessions.lock({change.command.session_key})

    assert remembered[key].session == change.session
    assert locked == {change.command.session_key: change.session}
    events = [
        (each["session_version"], each["idempotency_key"]) for each in await database.events()
    ]
    assert events == [(1, "k"), (2, None)]
    assert await database.outbox() == [event_id for event_id, _ in change.events]


async def test_an_id_is_given_once(units: Database, database: TestDatabase) -> None:
    session = await database.a_session()

    with pytest.raises(Contended):
        async with units.unit_of_work(users_of(session)) as work:
            await work.save([change_of(a_command(session, PlanSession))])


async def test_a_user_is_claimed_once(units: Database) -> None:
    mine, theirs, free = uuid4(), uuid4(), uuid4()

    async with units.unit_of_work(frozenset({mine})) as first:
        assert await first.sessions.claim({mine, theirs}) == {mine, theirs}
        assert await first.sessions.claim({mine}) == {mine}
        async with units.unit_of_work(frozenset({mine})) as second:
            assert await second.sessions.claim({mine, free}) == {free}
    async with units.unit_of_work(frozenset({mine})) as third:
        assert await third.sessions.claim({mine}) == {mine}


async def test_knows_the_session_in_progress_of_each_user(
    units: Database, database: TestDatabase
) -> None:
    running = await database.a_session()
    await database.a_session(user_id=running.user_id, status=SessionStatus.PLANNED)
    ended = await database.a_session(status=SessionStatus.FAILED)

    async with units.unit_of_work(users_of(running, ended)) as work:
        active = await work.sessions.active({running.user_id, ended.user_id})

    assert active == {running.user_id: running.id}


async def test_keeps_sets_with_and_without_gaps(units: Database, database: TestDatabase) -> None:
    sets = [(), (None,), (1, 1000), (12, None, 10)]
    sessions = [await database.a_session(sets=each) for each in sets]

    async with units.unit_of_work(users_of(*sessions)) as work:
        await work.save([a_change(session) for session in sessions])
        await work.commit()

    assert [tuple((await database.row(session))["sets"]) for session in sessions] == sets


async def test_statement_count_does_not_depend_on_size(
    units: Database, statements: list[str], database: TestDatabase
) -> None:
    counts = []
    for size in (1, 1, 100):
        sessions = [a_session() for _ in range(size)]
        await database.insert(*sessions)
        statements.clear()
        keys = {(session.user_id, session.id) for session in sessions}
        async with units.unit_of_work(users_of(*sessions)) as work:
            locked = await work.sessions.lock(keys)
            await work.save([a_change(session) for session in locked.values()])
            await work.commit()
        counts.append(len(statements))

    # Before the first, the driver looks up the types.
    assert counts[1:] == [4, 4]
    assert len(await database.outbox()) == 102


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
        ("raise_exception", asyncpg.RaiseError),
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
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with units.unit_of_work(frozenset({uuid4()})):
                pass
    finally:
        await database.execute(f"GRANT session_service TO {database.cluster.api_role}")


async def test_cuts_a_connection_whose_server_does_not_answer(
    pool: asyncpg.Pool, database: TestDatabase
) -> None:
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

    async with database.connection.transaction():
        await database.execute("SELECT pg_advisory_xact_lock(1)")
        with pytest.raises(CommitUnknown):
            async with Database(pool, limits).unit_of_work(users_of(session)) as work:
                await work.save([a_change(session)])
                await work.commit()


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
        mine, other = (session.user_id, event_id_of(change)), (session.user_id, uuid7())
        assert await work.events.recorded({mine, other}) == {event_id_of(change)}


async def test_says_that_nothing_was_written_when_killed_before_commit(
    units: Database, database: TestDatabase
) -> None:
    session = await database.a_session()

    with pytest.raises(ConnectionLost):
        async with units.unit_of_work(users_of(session)) as work:
            await work.save([a_change(session)])
            await database.execute(KILL_SERVICE)
            await work.sessions.existing({key_of(session)})

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
        assert await work.sessions.lock({key_of(session)}) == {key_of(session): session}


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
    units: Database, pool: asyncpg.Pool, database: TestDatabase
) -> None:
    session = await database.a_session()

    async with units.unit_of_work(users_of(session)) as work:
        await work.sessions.existing({key_of(session)})

    states = "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'"
    await eventually(lambda: _is_zero(database, states))
    [row] = await pool.fetch("SELECT current_user, current_setting('service.acting_users', true)")
    assert tuple(row) == (database.cluster.api_role, "")


async def _is_zero(database: TestDatabase, query: str) -> bool:
    return bool(await database.value(query) == 0)


async def test_is_unavailable_when_nobody_listens(database: TestDatabase) -> None:
    async with a_pool("postgresql://nobody@127.0.0.1:1/nothing", 1) as pool:
        with pytest.raises(DependencyUnavailable):
            async with Database(pool, LIMITS).unit_of_work(frozenset({uuid4()})):
                pass


async def test_is_unavailable_when_the_login_is_refused(database: TestDatabase) -> None:
    async with a_pool(database.cluster.url("no_such_database"), 1) as pool:
        with pytest.raises(DependencyUnavailable):
            async with Database(pool, LIMITS).unit_of_work(frozenset({uuid4()})):
                pass


async def test_is_overloaded_when_no_connection_becomes_free(pool: asyncpg.Pool) -> None:
    limits = replace(LIMITS, pool_size=1, pool_timeout=0.01)
    units = Database(pool, limits)

    async with units.unit_of_work(frozenset({uuid4()})):
        with pytest.raises(Overloaded):
            async with units.unit_of_work(frozenset({uuid4()})):
                pass


@pytest.mark.parametrize(("transaction_pooler", "kept"), [(True, 0), (False, 1)])
async def test_keeps_no_prepared_statement_behind_a_transaction_pooler(
    database: TestDatabase, transaction_pooler: bool, kept: int
) -> None:
    session = await database.a_session()
    async with a_pool(database.api_url, 1, transaction_pooler=transaction_pooler) as pool:
        for _ in range(2):
            async with Database(pool, LIMITS).unit_of_work(users_of(session)) as work:
                assert await work.sessions.lock({key_of(session)}) == {key_of(session): session}
        named = "SELECT statement FROM pg_prepared_statements WHERE statement LIKE $1"
        assert len(await pool.fetch(named, "SELECT found%")) == kept


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

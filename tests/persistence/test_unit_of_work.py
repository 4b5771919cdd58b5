"""A look and a write: each session with its event or not at all, for many as for one."""

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
from service.application.ports import Asked, Change
from service.domain.session import Session, SessionStatus
from service.domain.text import Notes, Reason
from service.persistence.engine import Database
from tests.builders import A_MINUTE, MORNING, a_command, a_session
from tests.group_commit.proxy import Cut, a_proxy
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


def asked(command: Command) -> Asked:
    return Asked(command=command)


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
        assert await work.save([change]) == set()

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


async def test_leaves_out_what_is_no_longer_as_it_was_read(
    units: Database, database: TestDatabase
) -> None:
    sessions = [await database.a_session() for _ in range(3)]
    changed, *others = sessions
    await database.execute("UPDATE sessions SET version = 9 WHERE id = $1", changed.id)

    async with units.unit_of_work(users_of(*sessions)) as work:
        left_out = await work.save([a_change(session) for session in sessions])

    assert left_out == {key_of(changed)}
    assert (await database.row(changed))["status"] == "in_progress"
    assert {(await database.row(each))["status"] for each in others} == {"failed"}
    events = await database.events()
    assert {each["session_id"] for each in events} == {each.id for each in others}
    assert await database.outbox() == [each["id"] for each in events]


async def test_leaves_out_locked_rows_and_waits_for_nobody(
    units: Database, database: TestDatabase
) -> None:
    free, locked = await database.a_session(), await database.a_session()

    async with database.connection.transaction():
        await database.execute("SELECT FROM sessions WHERE id = $1 FOR UPDATE", locked.id)
        async with units.unit_of_work(users_of(free, locked)) as work:
            found = await work.look([asked(a_command(free)), asked(a_command(locked))])
            left_out = await work.save([a_change(each) for each in (free, locked)])

    assert [each.session for each in found] == [free, locked]
    assert left_out == {key_of(locked)}
    assert (await database.row(free))["status"] == "failed"
    assert (await database.row(locked))["status"] == "in_progress"


async def test_writes_a_session_that_changed_twice_once_and_both_events(
    units: Database, database: TestDatabase
) -> None:
    planned = await database.a_session(status=SessionStatus.PLANNED)
    start = change_of(a_command(planned, StartSession), planned)
    failure = a_change(start.session)

    async with units.unit_of_work(users_of(planned)) as work:
        await work.look([asked(start.command)])
        await work.save([start, failure])

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

    started = a_command(change.session, idempotency_key="k")
    async with units.unit_of_work(users_of(change.session)) as work:
        await work.look([asked(change.command)])
        await work.save([change])
        [found] = await work.look([asked(started)])

    assert found.memory
    assert found.session == found.memory.session == change.session
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


async def test_leaves_out_whoevers_user_somebody_else_has_claimed(
    units: Database, database: TestDatabase
) -> None:
    mine, theirs = [await database.a_session(status=SessionStatus.PLANNED) for _ in range(2)]
    starts = [a_command(each, StartSession) for each in (mine, theirs)]
    claim = "SELECT pg_advisory_xact_lock(1395864371, hashtext($1))"

    async with database.connection.transaction():
        await database.execute(claim, str(theirs.user_id))
        async with units.unit_of_work(users_of(mine, theirs)) as work:
            await work.look(list(map(asked, starts)))
            changes = [change_of(starts[0], mine), change_of(starts[1], theirs)]
            assert await work.save(changes) == {key_of(theirs)}

    async with units.unit_of_work(users_of(theirs)) as work:
        await work.look([asked(starts[1])])
        assert await work.save(changes[1:]) == set()


async def test_leaves_out_a_start_when_another_session_has_started_since(
    units: Database, database: TestDatabase
) -> None:
    """Or has ended again: a start that was lost may arrive when it has been refused for that."""
    mine = await database.a_session(status=SessionStatus.PLANNED)
    other = await database.a_session(status=SessionStatus.PLANNED, user_id=mine.user_id)
    late, meanwhile = a_command(mine, StartSession), a_command(other, StartSession)

    async with (
        units.unit_of_work(users_of(mine)) as first,
        units.unit_of_work(users_of(mine)) as second,
    ):
        await first.look([asked(late)])
        await second.look([asked(meanwhile)])
        started = change_of(meanwhile, other)
        assert await second.save([started]) == set()
        assert await first.save([change_of(late, mine)]) == {key_of(mine)}
        assert await second.save([a_change(started.session)]) == set()
        assert await first.save([change_of(late, mine)]) == {key_of(mine)}

    assert (await database.row(mine))["status"] == "planned"
    assert len(await database.events()) == 2


async def test_leaves_out_a_plan_whose_key_was_used_since(
    units: Database, database: TestDatabase
) -> None:
    user_id = uuid4()
    one, other = (
        change_of(
            a_command(kind=PlanSession, user_id=user_id, session_id=uuid7(), idempotency_key="k")
        )
        for _ in range(2)
    )

    async with (
        units.unit_of_work(frozenset({user_id})) as first,
        units.unit_of_work(frozenset({user_id})) as second,
    ):
        for work, change in ((first, one), (second, other)):
            assert (await work.look([asked(change.command)]))[0].memory is None
        assert await first.save([one]) == set()
        assert await second.save([other]) == {other.command.session_key}

    assert [each["id"] for each in await database.events()] == [event_id_of(one)]


async def test_a_plan_with_a_key_leaves_the_session_in_progress_as_it_is(
    units: Database, database: TestDatabase
) -> None:
    running = await database.a_session()
    plan = a_command(
        kind=PlanSession, user_id=running.user_id, session_id=uuid7(), idempotency_key="k"
    )

    async with units.unit_of_work(users_of(running)) as work:
        [found] = await work.look([asked(plan)])
        assert found.active_session_id == running.id
        assert await work.save([change_of(plan)]) == set()


async def test_knows_the_session_in_progress_of_users_who_are_claimed(
    units: Database, database: TestDatabase
) -> None:
    running = await database.a_session()
    planned = await database.a_session(user_id=running.user_id, status=SessionStatus.PLANNED)
    ended = await database.a_session(status=SessionStatus.FAILED)
    commands = [
        a_command(planned, StartSession),
        a_command(running),
        a_command(ended, StartSession),
    ]

    async with units.unit_of_work(users_of(running, ended)) as work:
        found = await work.look(list(map(asked, commands)))

    assert [each.session for each in found] == [planned, running, ended]
    assert [each.active_session_id for each in found] == [running.id, None, None]


async def test_keeps_sets_with_and_without_gaps(units: Database, database: TestDatabase) -> None:
    sets = [(), (None,), (1, 1000), (12, None, 10)]
    sessions = [await database.a_session(sets=each) for each in sets]

    async with units.unit_of_work(users_of(*sessions)) as work:
        await work.save([a_change(session) for session in sessions])

    assert [tuple((await database.row(session))["sets"]) for session in sessions] == sets


async def test_statement_count_does_not_depend_on_size(
    units: Database, statements: list[str], database: TestDatabase
) -> None:
    counts = []
    for size in (1, 1, 100):
        sessions = [a_session() for _ in range(size)]
        await database.insert(*sessions)
        statements.clear()
        async with units.unit_of_work(users_of(*sessions)) as work:
            found = await work.look([asked(a_command(each)) for each in sessions])
            await work.save([a_change(each.session) for each in found if each.session])
        counts.append(len(statements))

    # Before the first, the driver looks up the types.
    assert counts[1:] == [2, 2]
    assert len(await database.outbox()) == 102


@pytest.mark.parametrize(
    ("failure", "translation"),
    [
        ("lock_not_available", Contended),
        ("deadlock_detected", Contended),
        ("query_canceled", TimedOut),
        ("read_only_sql_transaction", DependencyUnavailable),
        ("disk_full", DependencyUnavailable),
        ("admin_shutdown", CommitUnknown),
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

    assert (await database.row(session))["status"] == "in_progress"
    assert await database.outbox() == []


async def test_what_cannot_be_sent_is_certainly_not_written(
    units: Database, database: TestDatabase
) -> None:
    session = await database.a_session()
    change = a_change(replace(session, version=2**31 - 1))

    with pytest.raises(asyncpg.DataError):
        async with units.unit_of_work(users_of(session)) as work:
            await work.save([change])


async def test_a_role_that_cannot_be_assumed_is_told_as_what_it_is(
    units: Database, database: TestDatabase
) -> None:
    await database.execute(f"REVOKE session_service FROM {database.cluster.api_role}")
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with units.unit_of_work(frozenset({uuid4()})) as work:
                await work.look([asked(a_command())])
    finally:
        await database.execute(f"GRANT session_service TO {database.cluster.api_role}")


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

    async with database.connection.transaction():
        await database.execute("SELECT pg_advisory_xact_lock(1)")
        async with a_pool(database.api_url, 1, limits=limits) as pool:
            with pytest.raises(CommitUnknown):
                async with Database(pool, limits).unit_of_work(users_of(session)) as work:
                    await work.save([a_change(session)])


async def test_remembers_what_a_key_stands_for(units: Database, database: TestDatabase) -> None:
    session = await database.a_session(sets=(12, None), notes="ból barku")
    change = a_change(session, idempotency_key="retry-1")

    async with units.unit_of_work(users_of(session)) as work:
        assert await work.save([change]) == set()
    strangers = a_session()
    keys = [(session, "retry-1"), (session, "retry-2"), (strangers, "retry-1"), (session, None)]
    async with units.unit_of_work(users_of(session)) as work:
        found = await work.look([asked(a_command(each, idempotency_key=key)) for each, key in keys])

    memory, *others = [each.memory for each in found]
    assert memory
    assert memory.session == change.session
    assert memory.fingerprint == change.command.fingerprint()
    assert others == [None, None, None]


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


async def test_knows_whether_a_lost_event_was_recorded_and_when(
    units: Database, database: TestDatabase
) -> None:
    session = await database.a_session()
    change = a_change(session)
    lost = [event_id_of(change), uuid7(), None]
    looked = [Asked(command=change.command, lost_event=each) for each in lost]

    async with units.unit_of_work(users_of(session)) as work:
        await work.save([change])
        found = await work.look(looked)

    assert [each.recorded_at for each in found] == [LATER, None, None]


async def test_says_that_nothing_was_written_when_killed_before_the_write(
    units: Database, database: TestDatabase
) -> None:
    with pytest.raises(ConnectionLost):
        async with units.unit_of_work(frozenset({uuid4()})) as work:
            await work.look([asked(a_command())])
            await database.execute(KILL_SERVICE)
            await work.look([asked(a_command())])


async def test_cannot_say_what_became_of_it_when_killed_at_the_write(
    units: Database, database: TestDatabase
) -> None:
    session = await database.a_session()

    with pytest.raises(CommitUnknown):
        async with units.unit_of_work(users_of(session)) as work:
            await work.look([asked(a_command(session))])
            await database.execute(KILL_SERVICE)
            await work.save([a_change(session)])

    assert (await database.row(session))["status"] == "in_progress"


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
        await work.look([asked(a_command(session))])
        await work.save([a_change(session)])

    states = "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'"
    await eventually(lambda: _is_zero(database, states))
    [row] = await pool.fetch("SELECT current_user, current_setting('service.acting_users', true)")
    assert tuple(row) == (database.cluster.api_role, "")


async def _is_zero(database: TestDatabase, query: str) -> bool:
    return bool(await database.value(query) == 0)


async def test_does_not_wait_for_a_server_that_answers_no_more_once_it_let_it_in(
    database: TestDatabase,
) -> None:
    async with (
        a_proxy(database.api_url) as proxy,
        a_pool(proxy.url, 1, limits=LIMITS, connect_timeout=0.5) as pool,
    ):
        proxy.moment, proxy.cuts = b"lock_timeout", [Cut.VANISHED_BEFORE]
        with pytest.raises(DependencyUnavailable):
            async with Database(pool, LIMITS).unit_of_work(frozenset({uuid4()})):
                pass

    assert proxy.made == [Cut.VANISHED_BEFORE]


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


async def test_keeps_to_one_connection_of_a_transaction_pooler(
    pool: asyncpg.Pool, database: TestDatabase, statements: list[str]
) -> None:
    """Which may give another one to whoever is between transactions."""
    session = await database.a_session()
    units = Database(pool, LIMITS, transaction_pooler=True)

    async with units.unit_of_work(users_of(session)) as work:
        await work.look([asked(a_command(session))])
    looked = [statements[0], statements[-1]]
    statements.clear()
    async with units.unit_of_work(users_of(session)) as work:
        await work.look([asked(a_command(session))])
        await work.save([a_change(session)])

    assert looked == [statements[0], "ROLLBACK"]
    assert statements[0].startswith("BEGIN; SELECT set_config('lock_timeout', '200ms', true)")
    assert statements[-1] == "COMMIT"
    assert (await database.row(session))["status"] == "failed"


@pytest.mark.parametrize(("transaction_pooler", "kept"), [(True, 0), (False, 1)])
async def test_keeps_nothing_on_the_connections_of_a_transaction_pooler(
    database: TestDatabase, transaction_pooler: bool, kept: int
) -> None:
    """Neither a prepared statement nor a setting."""
    session = await database.a_session()
    async with a_pool(
        database.api_url, 1, limits=LIMITS, transaction_pooler=transaction_pooler
    ) as pool:
        units = Database(pool, LIMITS, transaction_pooler=transaction_pooler)
        for _ in range(2):
            async with units.unit_of_work(users_of(session)) as work:
                await work.look([asked(a_command(session))])
        named = "SELECT statement FROM pg_prepared_statements WHERE statement LIKE $1"
        assert len(await pool.fetch(named, "%service_look%")) == kept
        timeout = await pool.fetchval("SHOW statement_timeout")
        assert timeout == ("5s" if kept else "0")


async def test_sees_and_writes_for_nobody_but_the_acting_users(
    units: Database, database: TestDatabase
) -> None:
    """Whatever it is asked for."""
    theirs = await database.a_session()
    plan = a_command(kind=PlanSession, user_id=theirs.user_id, session_id=uuid7())

    async with units.unit_of_work(frozenset({uuid4()})) as work:
        [found] = await work.look([asked(a_command(theirs, StartSession))])
        assert await work.save([a_change(theirs)]) == {key_of(theirs)}
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
        async with units.unit_of_work(frozenset({uuid4()})) as work:
            await work.save([change_of(plan)])

    assert (found.session, found.active_session_id) == (None, None)
    assert (await database.row(theirs))["status"] == "in_progress"
    assert await database.events() == []


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

# SPDX-License-Identifier: MIT
"""Row-level security: no row of another user is visible or writable, even without a filter."""

from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import UUID, uuid4

import asyncpg
import pytest

from service.domain.session import Session
from service.persistence.database import Database
from tests.builders import a_session
from tests.persistence.transacting import a_failure, write
from tests.running import TestDatabase

TABLES = ["sessions", "events", "outbox"]


@pytest.fixture
async def theirs(database: TestDatabase, units: Database) -> Session:
    """A failed session of another user, with its event."""
    change = a_failure(await database.a_session(), idempotency_key="theirs")
    await write(units, change)
    return change.session


@pytest.fixture
async def as_login(database: TestDatabase) -> AsyncIterator[TestDatabase]:
    """The same database on a connection with the login of the service."""
    connection = await asyncpg.connect(database.api_url)
    yield replace(database, connection=connection)
    await connection.close()


async def become_service(database: TestDatabase, *acting_users: UUID) -> None:
    """Within a transaction of the test's connection."""
    await database.execute("SET LOCAL ROLE session_service")
    await database.execute(
        "SELECT set_config('service.acting_users', $1, true)", ",".join(map(str, acting_users))
    )


async def become_client(database: TestDatabase, user_id: UUID | None) -> None:
    """As PostgREST does it for a client of a Supabase project."""
    await database.execute("SET LOCAL ROLE authenticated")
    claims = f'{{"sub": "{user_id}"}}' if user_id else ""
    await database.execute("SELECT set_config('request.jwt.claims', $1, true)", claims)


@pytest.mark.parametrize("table", ["sessions", "events"])
async def test_a_query_without_filter_sees_only_rows_of_acting_users(
    database: TestDatabase, theirs: Session, table: str
) -> None:
    for acting_users, visible in [((uuid4(),), 0), ((theirs.user_id, uuid4()), 1), ((), 0)]:
        async with database.connection.transaction():
            await become_service(database, *acting_users)
            assert await database.value(f"SELECT count(*) FROM {table}") == visible


@pytest.mark.parametrize("table", ["sessions", "events"])
async def test_nothing_is_visible_if_acting_users_were_never_set(
    database: TestDatabase, theirs: Session, table: str
) -> None:
    connection = await database.connect()
    try:
        async with connection.transaction():
            await connection.execute("SET LOCAL ROLE session_service")
            assert await connection.fetchval(f"SELECT count(*) FROM {table}") == 0
    finally:
        await connection.close()


async def test_the_login_sees_nothing_before_it_becomes_the_service(
    database: TestDatabase, theirs: Session
) -> None:
    connection = await asyncpg.connect(database.api_url)
    try:
        assert await connection.fetchval("SELECT count(*) FROM sessions") == 0
    finally:
        await connection.close()


async def test_sql_that_runs_as_the_login_of_the_api_can_name_any_user(
    as_login: TestDatabase, theirs: Session
) -> None:
    """A limit of row-level security, which docs/security.md explains."""
    await as_login.execute("SET ROLE session_service")
    await as_login.execute(
        "SELECT set_config('service.acting_users', $1, false)", str(theirs.user_id)
    )

    assert await as_login.value("SELECT id FROM sessions") == theirs.id


async def test_an_update_without_filter_reaches_only_rows_of_acting_users(
    database: TestDatabase, theirs: Session
) -> None:
    mine = await database.a_session()

    async with database.connection.transaction():
        await become_service(database, mine.user_id)
        done = await database.connection.execute("UPDATE sessions SET rpe = 1")

    assert done == "UPDATE 1"
    assert (await database.row(theirs))["rpe"] == theirs.rpe


async def test_a_row_of_another_user_cannot_be_written(
    database: TestDatabase, theirs: Session
) -> None:
    insert = "INSERT INTO outbox (user_id, event_id) VALUES ($1, $1)"
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
        async with database.connection.transaction():
            await become_service(database, uuid4())
            await database.execute(insert, theirs.user_id)
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
        async with database.connection.transaction():
            await become_service(database, uuid4())
            await database.insert(a_session(user_id=theirs.user_id))


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE sessions DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE sessions NO FORCE ROW LEVEL SECURITY",
        "DROP POLICY service_acts_for_users ON sessions",
        "CREATE POLICY everything ON sessions USING (true)",
        "ALTER ROLE session_service BYPASSRLS",
        "SET LOCAL session_authorization = postgres",
        "SET LOCAL ROLE postgres",
        "DELETE FROM sessions",
        "TRUNCATE sessions, events",
        "DELETE FROM events",
        "UPDATE events SET event_data = '{}'",
        "UPDATE sessions SET user_id = gen_random_uuid()",
        "SELECT * FROM outbox",
        "DELETE FROM outbox",
        "UPDATE alembic_version SET version_num = '9999'",
        "SET LOCAL ROLE session_relay",
        "SET LOCAL ROLE authenticated",
        "SELECT reason FROM parked_events",
        "INSERT INTO outbox (position) OVERRIDING SYSTEM VALUE VALUES (1)",
        "GRANT session_service TO session_relay",
        "CREATE ROLE stranger",
        "CREATE TABLE public.copy AS SELECT * FROM events",
        "DROP TABLE events CASCADE",
        "ALTER TABLE events DISABLE TRIGGER ALL",
        "SET LOCAL session_replication_role = replica",
        "COPY events TO '/tmp/events'",
        "CREATE FUNCTION public.one() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    ],
)
async def test_the_service_can_neither_bypass_nor_disable_row_level_security(
    as_login: TestDatabase, statement: str
) -> None:
    database = as_login
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with database.connection.transaction():
            await become_service(database, uuid4())
            await database.execute(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "SET ROLE session_service",
        "SET ROLE authenticated",
        "SELECT * FROM sessions",
        "INSERT INTO sessions (user_id) VALUES (gen_random_uuid())",
        "UPDATE sessions SET status = 'failed'",
        "DELETE FROM sessions",
        "INSERT INTO events (user_id) VALUES (gen_random_uuid())",
        "UPDATE events SET event_type = 'session_failed'",
        "DELETE FROM events",
        "TRUNCATE outbox",
        "SELECT service_acting_users()",
        "SELECT idempotency_key FROM events",
        "SELECT command_fingerprint FROM events",
        "SELECT session_snapshot FROM events",
    ],
)
@pytest.mark.parametrize("before", ["RESET ROLE", "SET ROLE session_relay"])
async def test_the_login_of_the_relay_can_neither_become_the_service_nor_do_its_work(
    database: TestDatabase, before: str, statement: str
) -> None:
    connection = await asyncpg.connect(database.relay_url)
    await connection.execute(before)
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)
    finally:
        await connection.close()


async def test_a_query_with_row_security_off_is_refused(
    as_login: TestDatabase, theirs: Session
) -> None:
    database = as_login
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
        async with database.connection.transaction():
            await become_service(database, uuid4())
            await database.execute("SET LOCAL row_security = off")
            await database.fetch("SELECT * FROM sessions")


async def test_the_role_of_the_service_has_no_privileges_of_its_own(database: TestDatabase) -> None:
    [role] = await database.fetch(
        "SELECT rolcanlogin, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication"
        " FROM pg_roles WHERE rolname = 'session_service'"
    )
    assert not any(role.values())
    assert not await database.value(
        "SELECT count(*) FROM pg_class WHERE relowner = 'session_service'::regrole"
    )


async def test_the_policy_is_evaluated_once_per_statement(database: TestDatabase) -> None:
    async with database.connection.transaction():
        await become_service(database, uuid4())
        plan = await database.fetch("EXPLAIN SELECT * FROM sessions WHERE user_id = $1", uuid4())
    assert any("InitPlan" in row["QUERY PLAN"] for row in plan)


@pytest.mark.parametrize("table", ["sessions", "events"])
async def test_a_client_reads_its_own_rows_alone(
    database: TestDatabase, theirs: Session, table: str
) -> None:
    for user_id, visible in [(theirs.user_id, 1), (uuid4(), 0), (None, 0)]:
        async with database.connection.transaction():
            await become_client(database, user_id)
            assert await database.value(f"SELECT count(*) FROM {table}") == visible


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO {} DEFAULT VALUES",
        "UPDATE {} SET user_id = user_id",
        "DELETE FROM {}",
        "TRUNCATE {} CASCADE",
    ],
    ids=["insert", "update", "delete", "truncate"],
)
async def test_a_client_writes_nothing(
    database: TestDatabase, theirs: Session, table: str, statement: str
) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with database.connection.transaction():
            await become_client(database, theirs.user_id)
            await database.execute(statement.format(table))


async def test_a_client_does_not_see_the_outbox(database: TestDatabase, theirs: Session) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with database.connection.transaction():
            await become_client(database, theirs.user_id)
            await database.fetch("SELECT * FROM outbox")

# SPDX-License-Identifier: MIT
"""Readiness names each check that fails."""

import asyncio

import pytest
from sqlalchemy import NullPool
from sqlalchemy.ext.asyncio import AsyncEngine

from service.application.errors import DependencyUnavailable
from service.application.ports import LoadRequest
from service.persistence.checks import OK, REVISION
from service.persistence.database import Database
from service.persistence.engine import create_engine
from service.persistence.outages import Outages
from service.persistence.readiness import NOT_CHECKED, Readiness
from tests.builders import a_command
from tests.persistence.conftest import LIMITS
from tests.persistence.transacting import a_failure, raise_on_insert, users_of, write
from tests.running import TestDatabase, eventually

CHECKED = ("database", "role", "policies", "schema")
LAST_ATTEMPTS = {"pooler": OK, "reads": OK, "writes": OK}
ALL_OK = dict.fromkeys(CHECKED, OK) | LAST_ATTEMPTS
UNREACHABLE = dict.fromkeys(CHECKED, NOT_CHECKED) | {"database": "cannot be reached"}


async def test_every_check_is_ok_on_a_migrated_database(engine: AsyncEngine) -> None:
    assert await Readiness(engine).checks() == ALL_OK


async def test_every_check_is_ok_at_a_later_revision(
    engine: AsyncEngine, database: TestDatabase
) -> None:
    await database.execute("UPDATE alembic_version SET version_num = '0999'")
    assert await Readiness(engine).checks() == ALL_OK


async def test_every_check_is_ok_if_a_later_revision_adds_a_column(
    engine: AsyncEngine, database: TestDatabase
) -> None:
    await database.execute("ALTER TABLE sessions ADD COLUMN mood text")
    await database.execute("GRANT UPDATE (mood) ON sessions TO session_service")
    assert await Readiness(engine).checks() == ALL_OK


async def test_every_check_is_ok_if_the_login_may_not_read_the_activity(
    engine: AsyncEngine, database: TestDatabase
) -> None:
    """Only a COMMIT that waits for a standby would not be seen."""
    await database.execute("REVOKE SELECT ON pg_stat_activity FROM PUBLIC")
    assert await Readiness(engine).checks() == ALL_OK


@pytest.mark.parametrize(
    ("oldest", "result"),
    [
        (REVISION, OK),
        ("0998", "at revision 0999, for versions of the service from 0998 on"),
    ],
)
async def test_a_later_revision_may_end_the_compatibility_with_this_one(
    engine: AsyncEngine, database: TestDatabase, oldest: str, result: str
) -> None:
    await database.execute("UPDATE alembic_version SET version_num = '0999'")
    await database.execute(
        f"COMMENT ON TABLE alembic_version IS 'oldest compatible revision: {oldest}'"
    )

    assert (await Readiness(engine).checks())["schema"] == result


@pytest.mark.parametrize(
    "power", ["LOGIN", "SUPERUSER", "BYPASSRLS", "CREATEROLE", "CREATEDB", "REPLICATION"]
)
async def test_names_the_role_if_it_has_a_power(
    engine: AsyncEngine, database: TestDatabase, power: str
) -> None:
    await database.execute(f"ALTER ROLE session_service {power}")
    try:
        checks = await Readiness(engine).checks()
    finally:
        await database.execute(f"ALTER ROLE session_service NO{power}")

    assert {name for name, result in checks.items() if result != OK} == {"role"}


@pytest.mark.parametrize(
    ("statement", "check"),
    [
        ("ALTER TABLE events DISABLE ROW LEVEL SECURITY", "policies"),
        ("ALTER TABLE sessions NO FORCE ROW LEVEL SECURITY", "policies"),
        ("DROP POLICY service_acts_for_users ON sessions", "policies"),
        ("CREATE POLICY open ON sessions USING (true)", "policies"),
        ("ALTER POLICY service_acts_for_users ON events USING (true)", "policies"),
        ("ALTER POLICY users_read_their_own ON events TO PUBLIC", "policies"),
        ("ALTER TABLE parked_events DISABLE ROW LEVEL SECURITY", "policies"),
        ("DROP POLICY relay_reads_everything ON events", "policies"),
        ("ALTER POLICY relay_empties_the_queue ON outbox TO PUBLIC", "policies"),
        ("UPDATE alembic_version SET version_num = '0000'", "schema"),
        ("UPDATE alembic_version SET version_num = 'deadbeef'", "schema"),
        ("DELETE FROM alembic_version", "schema"),
        ("DROP TABLE alembic_version", "schema"),
        ("REVOKE SELECT ON alembic_version FROM session_service", "schema"),
        ("ALTER TABLE sessions DROP COLUMN notes", "schema"),
        ("ALTER TABLE events RENAME COLUMN traceparent TO parent", "schema"),
        ("GRANT DELETE ON events TO session_service", "role"),
        ("REVOKE ALL ON FUNCTION service_acting_users() FROM session_service", "role"),
        ("GRANT UPDATE ON events TO session_service", "role"),
        ("REVOKE INSERT ON outbox FROM session_service", "role"),
        ("GRANT SELECT ON parked_events TO session_service", "role"),
        ("GRANT UPDATE (user_id) ON sessions TO session_service", "role"),
        ("GRANT UPDATE (event_data) ON events TO session_service", "role"),
        ("GRANT INSERT (position) ON outbox TO session_service", "role"),
        ("REVOKE UPDATE (notes) ON sessions FROM session_service", "role"),
        ("GRANT TRUNCATE ON sessions TO PUBLIC", "role"),
        ("GRANT UPDATE (event_type) ON events TO PUBLIC", "role"),
        ("ALTER POLICY users_read_their_own ON events TO authenticated, PUBLIC", "policies"),
        (
            "ALTER POLICY service_acts_for_users ON events TO session_service, authenticated",
            "policies",
        ),
        ("CREATE TABLE own (); ALTER TABLE own OWNER TO session_service", "role"),
    ],
)
async def test_names_the_check_that_fails(
    engine: AsyncEngine, database: TestDatabase, statement: str, check: str
) -> None:
    await database.execute(statement)

    checks = await Readiness(engine).checks()

    assert {name for name, result in checks.items() if result != OK} == {check}


async def test_is_ready_beside_a_policy_for_the_role_of_a_later_migration(
    engine: AsyncEngine, database: TestDatabase
) -> None:
    """A migration runs while its predecessor serves."""
    role = f"session_later_{database.name}"
    await database.execute(f"CREATE ROLE {role}")
    await database.execute(f"CREATE POLICY later ON events TO {role} USING (true)")
    try:
        checks = await Readiness(engine).checks()
    finally:
        await database.execute(f"DROP OWNED BY {role}")
        await database.execute(f"DROP ROLE {role}")

    assert set(checks.values()) == {OK}


async def test_names_role_policies_and_schema_on_an_empty_database(
    empty_database: TestDatabase,
) -> None:
    engine = create_engine(empty_database.url, connect_timeout=5, poolclass=NullPool)

    checks = await Readiness(engine).checks()

    assert {name for name, result in checks.items() if result != OK} == {
        "role",
        "policies",
        "schema",
    }


async def test_names_role_and_schema_if_the_login_may_not_become_the_role(
    database: TestDatabase,
) -> None:
    role = f"stranger_{database.name}"
    await database.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'training'")
    url = database.api_url.replace(database.cluster.api_role, role)
    engine = create_engine(url, connect_timeout=5, poolclass=NullPool)
    try:
        checks = await Readiness(engine).checks()
    finally:
        await database.execute(f"DROP ROLE {role}")

    assert (checks["database"], checks["policies"]) == (OK, OK)
    assert OK not in (checks["role"], checks["schema"])


async def test_names_the_database_if_no_server_listens() -> None:
    engine = create_engine("postgresql://nobody@127.0.0.1:1/nothing", connect_timeout=5)
    readiness = Readiness(engine)

    checks = await readiness.checks()

    assert checks == UNREACHABLE | LAST_ATTEMPTS
    assert not readiness.was_ready


async def test_was_not_ready_before_the_first_check(engine: AsyncEngine) -> None:
    readiness = Readiness(engine)
    assert not readiness.was_ready

    await readiness.checks()

    assert readiness.was_ready


async def test_names_the_database_if_it_refuses_the_login(database: TestDatabase) -> None:
    url = database.api_url.replace(database.cluster.api_role, "stranger")
    engine = create_engine(url, connect_timeout=5, poolclass=NullPool)

    checks = await Readiness(engine).checks()

    assert checks == UNREACHABLE | LAST_ATTEMPTS


async def test_names_role_policies_and_schema_if_the_login_may_not_use_the_schema(
    engine: AsyncEngine, database: TestDatabase
) -> None:
    await database.execute("REVOKE USAGE ON SCHEMA public FROM PUBLIC")

    checks = await Readiness(engine).checks()

    assert {name for name, result in checks.items() if result != OK} == {
        "role",
        "policies",
        "schema",
    }


async def test_uses_one_connection_for_checks_that_are_asked_for_at_the_same_time(
    engine: AsyncEngine, database: TestDatabase
) -> None:
    readiness = Readiness(engine)

    results = await asyncio.gather(*(readiness.checks() for _ in range(50)))

    assert results == [ALL_OK] * 50
    connections = "SELECT count(*) FROM pg_stat_activity WHERE usename = $1 AND datname = $2"
    role = database.cluster.api_role
    assert await database.value(connections, role, database.name) == 1


@pytest.mark.parametrize(
    ("part", "is_ready"), [("writes", True), ("reads", True), ("pooler", False)]
)
async def test_is_ready_as_long_as_some_requests_can_be_served(
    engine: AsyncEngine, part: str, is_ready: bool
) -> None:
    outages = Outages()
    outages.failed(part, 'relation "sessions" does not exist (42P01)')

    report = await Readiness(engine, outages).report()

    assert report.is_ready is is_ready
    assert report.checks == ALL_OK | {part: "fail; the log says why"}


@pytest.mark.parametrize(
    ("failure", "shown"),
    [
        ("disk_full", "the disk of the database is full (53100)"),
        ("out_of_memory", "the database is out of memory (53200)"),
        ("read_only_sql_transaction", "the database can only be read (25006)"),
        ("undefined_table", "fail; the log says why"),
    ],
)
async def test_shows_why_the_last_write_failed_until_one_succeeds(
    engine: AsyncEngine, database: TestDatabase, failure: str, shown: str
) -> None:
    session, outages = await database.a_session(), Outages()
    units, readiness = Database(engine, LIMITS, outages), Readiness(engine, outages)
    await raise_on_insert(database, failure)
    with pytest.raises(DependencyUnavailable):
        await write(units, a_failure(session))
    assert await readiness.checks() == ALL_OK | {"writes": shown}

    await database.execute("DROP TRIGGER refuse ON events")
    await write(units, a_failure(session))

    async def is_over() -> bool:
        return (await readiness.checks())["writes"] == OK

    await eventually(is_over)


async def test_a_refused_command_does_not_show_that_writes_work_again(
    engine: AsyncEngine, database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is rolled back, and has written nothing."""
    monkeypatch.setattr("service.persistence.outages.QUIET_SECONDS", 0)
    session, outages = await database.a_session(), Outages()
    outages.failed("writes", "the disk of the database is full (53100)")
    request = LoadRequest(command=a_command(session))

    await Database(engine, LIMITS, outages).run_unit_of_work(
        users_of(session), lambda work: work.load([request])
    )

    assert (await Readiness(engine, outages).checks())["writes"] != OK

"""Readiness names what is not as it should be."""

import asyncio

import pytest
from sqlalchemy import NullPool
from sqlalchemy.ext.asyncio import AsyncEngine

from service.persistence.engine import create_engine
from service.persistence.readiness import NOT_CHECKED, OK, Readiness
from tests.running import TestDatabase

ALL_WELL = {"database": OK, "role": OK, "policies": OK, "schema": OK}


async def test_all_is_well_on_a_migrated_database(engine: AsyncEngine) -> None:
    assert await Readiness(engine).checks() == ALL_WELL


async def test_all_is_well_with_a_later_revision(
    engine: AsyncEngine, database: TestDatabase
) -> None:
    await database.execute("UPDATE alembic_version SET version_num = '0999'")
    assert await Readiness(engine).checks() == ALL_WELL


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
        ("GRANT DELETE ON events TO session_service", "role"),
        ("REVOKE ALL ON FUNCTION service_session(uuid, uuid) FROM session_service", "role"),
        ("DROP FUNCTION service_history(uuid, uuid, integer, integer)", "role"),
        ("DROP FUNCTION service_look; DROP TYPE service_asked", "role"),
        ("GRANT UPDATE ON events TO session_service", "role"),
        ("REVOKE INSERT ON outbox FROM session_service", "role"),
        ("GRANT SELECT ON parked_events TO session_service", "role"),
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


async def test_names_everything_on_an_empty_database(empty_database: TestDatabase) -> None:
    engine = create_engine(empty_database.url, connect_timeout=5, poolclass=NullPool)

    checks = await Readiness(engine).checks()

    assert {name for name, result in checks.items() if result != OK} == {
        "role",
        "policies",
        "schema",
    }


async def test_names_the_role_that_the_login_cannot_assume(database: TestDatabase) -> None:
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


async def test_names_the_database_that_nobody_answers_for() -> None:
    engine = create_engine("postgresql://nobody@127.0.0.1:1/nothing", connect_timeout=5)

    checks = await Readiness(engine).checks()

    assert checks == dict.fromkeys(ALL_WELL, NOT_CHECKED) | {"database": "cannot be reached"}


async def test_asks_the_database_once_for_all_who_ask_at_once(
    engine: AsyncEngine, database: TestDatabase
) -> None:
    readiness = Readiness(engine)

    results = await asyncio.gather(*(readiness.checks() for _ in range(50)))

    assert results == [ALL_WELL] * 50
    connections = "SELECT count(*) FROM pg_stat_activity WHERE usename = $1 AND datname = $2"
    role = database.cluster.api_role
    assert await database.value(connections, role, database.name) == 1

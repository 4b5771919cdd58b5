"""Migrations up, down and up again, on plain PostgreSQL and on a Supabase-like database."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from pydantic import SecretStr
from sqlalchemy import NullPool

from service.bootstrap.migrations import ALEMBIC_INI, alembic_config, migrate
from service.bootstrap.settings import DatabaseSettings
from service.persistence.engine import create_engine
from service.persistence.readiness import OK, REVISION, Readiness
from service.persistence.tables import metadata
from tests.running import TestDatabase, a_database

SCRIPTS = ScriptDirectory.from_config(Config(ALEMBIC_INI))

OBJECTS = """
    SELECT format('%s %s', relkind, oid::regclass) AS object FROM pg_class
    WHERE relnamespace IN ('public'::regnamespace, to_regnamespace('auth')) AND relkind <> 't'
    UNION ALL SELECT format('f %s', oid::regprocedure) FROM pg_proc
    WHERE pronamespace IN ('public'::regnamespace, to_regnamespace('auth'))
    UNION ALL SELECT format('n %s', nspname) FROM pg_namespace WHERE nspname = 'auth'
    UNION ALL SELECT format('p %s %s', tablename, policyname) FROM pg_policies
    ORDER BY object
"""

DEFINITIONS = """
    SELECT format('%s %s', conname, pg_get_constraintdef(oid)) AS definition
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    UNION ALL SELECT pg_get_indexdef(indexrelid) FROM pg_index
    JOIN pg_class ON pg_class.oid = indrelid WHERE relnamespace = 'public'::regnamespace
    UNION ALL SELECT format('%s %s %s %s %s %s', attrelid::regclass, attname,
        format_type(atttypid, atttypmod), attnotnull, attidentity, pg_get_expr(adbin, adrelid))
    FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    JOIN pg_class ON pg_class.oid = attrelid
    WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND attnum > 0
    ORDER BY definition
"""

# A new Supabase project: the roles of its API, the schema of its auth service, and default
# privileges that grant those roles everything.
SUPABASE = """
    CREATE SCHEMA auth AUTHORIZATION supabase_auth_admin;
    GRANT USAGE ON SCHEMA auth TO anon, authenticated, service_role, {project_owner};
    CREATE TABLE auth.users (id uuid PRIMARY KEY, email text);
    ALTER TABLE auth.users OWNER TO supabase_auth_admin;
    GRANT ALL ON auth.users TO {project_owner};
    CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS $$
        SELECT coalesce(
            nullif(current_setting('request.jwt.claim.sub', true), ''),
            nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'
        )::uuid
    $$;
    ALTER FUNCTION auth.uid() OWNER TO supabase_auth_admin;
    GRANT ALL ON SCHEMA public TO {project_owner};
    ALTER DEFAULT PRIVILEGES FOR ROLE {project_owner} IN SCHEMA public
        GRANT ALL ON TABLES TO anon, authenticated, service_role;
    ALTER DEFAULT PRIVILEGES FOR ROLE {project_owner} IN SCHEMA public
        GRANT ALL ON FUNCTIONS TO anon, authenticated, service_role;
    ALTER DEFAULT PRIVILEGES FOR ROLE {project_owner} IN SCHEMA public
        GRANT ALL ON SEQUENCES TO anon, authenticated, service_role;
"""
SUPABASE_ROLES = ("anon", "authenticated", "service_role", "supabase_auth_admin")
PROJECT_OWNER = "project_owner_of_tests"
MAKE_ROLE = """
    DO $$ BEGIN CREATE ROLE {name} NOLOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$
"""


async def upgrade(database: TestDatabase) -> None:
    await asyncio.to_thread(migrate, database.settings)


async def downgrade(database: TestDatabase) -> None:
    await asyncio.to_thread(command.downgrade, alembic_config(database.settings), "base")


async def objects(database: TestDatabase) -> list[str]:
    return [row["object"] for row in await database.fetch(OBJECTS)]


async def checks(database: TestDatabase) -> dict[str, str]:
    engine = create_engine(database.url, connect_timeout=5, poolclass=NullPool)
    return await Readiness(engine).checks()


async def test_migrates_up_down_and_up_again(empty_database: TestDatabase) -> None:
    await upgrade(empty_database)
    once = await objects(empty_database)
    assert set((await checks(empty_database)).values()) == {OK}

    await downgrade(empty_database)
    assert await objects(empty_database) == ["i alembic_version_pkc", "r alembic_version"]

    await upgrade(empty_database)
    assert await objects(empty_database) == once
    assert set((await checks(empty_database)).values()) == {OK}


async def test_a_second_run_changes_nothing(database: TestDatabase) -> None:
    before = await objects(database)

    await upgrade(database)

    assert await objects(database) == before


async def alembic(database: TestDatabase, *arguments: str) -> str:
    """As the author of a migration calls it."""
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "alembic", "-c", str(ALEMBIC_INI), *arguments],
        env=os.environ | {"SERVICE_DATABASE_URL": database.url},
        capture_output=True,
        text=True,
        check=True,
        cwd=ALEMBIC_INI.parent,
    )
    return done.stdout.strip()


async def test_alembic_reads_the_database_url_from_the_environment(database: TestDatabase) -> None:
    assert await alembic(database, "current", "--check-heads") == f"{REVISION} (head)"


async def test_alembic_finds_no_drift_between_migrations_and_tables(database: TestDatabase) -> None:
    assert await alembic(database, "check") == "No new upgrade operations detected."


async def test_alembic_finds_no_drift_on_supabase(supabase: TestDatabase) -> None:
    await asyncio.to_thread(migrate, as_project_owner(supabase))

    assert await alembic(supabase, "check") == "No new upgrade operations detected."


async def test_constraints_and_indexes_are_those_of_the_tables(database: TestDatabase) -> None:
    """Autogeneration compares neither checks nor conditions of indexes."""
    async with a_database(database.cluster, template="template0") as other:
        engine = create_engine(other.url, connect_timeout=5, poolclass=NullPool)
        async with engine.begin() as connection:
            await connection.run_sync(metadata.create_all)
        expected = await other.fetch(DEFINITIONS)
    migrated = await database.fetch(DEFINITIONS)

    assert [row for row in migrated if "alembic_version" not in row["definition"]] == expected


def test_readiness_requires_the_newest_revision() -> None:
    assert SCRIPTS.get_heads() == [REVISION]


@pytest.mark.parametrize(
    "script", list(SCRIPTS.walk_revisions()), ids=lambda script: script.revision
)
def test_no_migration_waits_long_for_a_lock(script: Any) -> None:
    assert "SET LOCAL lock_timeout" in Path(script.path).read_text()


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("status", "'paused'"),
        ("sets", "array_fill(10, ARRAY[21])"),
        ("sets", "'{0}'"),
        ("sets", "'{1001}'"),
        ("sets", "'{{1},{2}}'"),
        ("rpe", "0"),
        ("rpe", "11"),
        ("version", "0"),
        ("session_date", "'infinity'"),
        ("session_date", "'10000-01-01'"),
        ("session_date", "'0044-03-15 BC'"),
    ],
)
async def test_the_database_refuses_values_that_the_domain_refuses(
    database: TestDatabase, column: str, value: str
) -> None:
    await database.a_session()
    with pytest.raises(asyncpg.CheckViolationError):
        await database.execute(f"UPDATE sessions SET {column} = {value}")


@pytest.mark.parametrize("value", ["'{}'", "'{NULL}'", "'{1,NULL,1000}'"])
async def test_the_database_accepts_sets_with_gaps(database: TestDatabase, value: str) -> None:
    await database.a_session()
    await database.execute(f"UPDATE sessions SET sets = {value}")


async def test_the_database_refuses_a_second_session_in_progress(database: TestDatabase) -> None:
    session = await database.a_session()
    with pytest.raises(asyncpg.UniqueViolationError):
        await database.a_session(user_id=session.user_id)


@pytest.fixture
async def supabase(empty_database: TestDatabase) -> TestDatabase:
    """A Supabase-like database; the owner of its project is not a superuser."""
    for name in (*SUPABASE_ROLES, "session_service"):
        await empty_database.execute(MAKE_ROLE.format(name=name))
    await empty_database.execute(f"DROP ROLE IF EXISTS {PROJECT_OWNER}")
    await empty_database.execute(
        f"CREATE ROLE {PROJECT_OWNER} LOGIN CREATEROLE PASSWORD 'training'"
    )
    # The role exists on this server already; a role that the owner had created, it could grant.
    await empty_database.execute(f"GRANT session_service TO {PROJECT_OWNER} WITH ADMIN OPTION")
    if await empty_database.value("SELECT current_setting('server_version_num')::int >= 160000"):
        await empty_database.execute(
            f"GRANT session_service TO {PROJECT_OWNER} WITH INHERIT FALSE, SET FALSE"
        )
    await empty_database.execute(SUPABASE.format(project_owner=PROJECT_OWNER))
    return empty_database


def as_project_owner(database: TestDatabase) -> DatabaseSettings:
    url = database.api_url.replace(database.cluster.api_role, PROJECT_OWNER)
    return DatabaseSettings(database_url=SecretStr(url))


async def supabase_objects(database: TestDatabase) -> list[dict[str, Any]]:
    return await database.fetch(
        """
        SELECT pg_get_functiondef('auth.uid()'::regprocedure) AS definition
        UNION ALL SELECT proowner::regrole::text FROM pg_proc WHERE oid = 'auth.uid()'::regprocedure
        UNION ALL SELECT nspacl::text FROM pg_namespace WHERE nspname = 'auth'
        UNION ALL SELECT relacl::text FROM pg_class WHERE oid = 'auth.users'::regclass
        UNION ALL SELECT format('%s %s', attname, atttypid::regtype) FROM pg_attribute
            WHERE attrelid = 'auth.users'::regclass AND attnum > 0
        UNION ALL SELECT to_jsonb(pg_roles)::text FROM pg_roles WHERE rolname = ANY ($1)
        """,
        list(SUPABASE_ROLES),
    )


async def test_leaves_the_objects_of_supabase_as_they_were(supabase: TestDatabase) -> None:
    before = await supabase_objects(supabase)
    settings = as_project_owner(supabase)

    await asyncio.to_thread(migrate, settings)
    assert await supabase_objects(supabase) == before
    assert set((await checks(supabase)).values()) == {OK}

    await asyncio.to_thread(command.downgrade, alembic_config(settings), "base")
    assert await supabase_objects(supabase) == before

    await asyncio.to_thread(migrate, settings)
    assert set((await checks(supabase)).values()) == {OK}


async def test_the_login_that_migrates_can_serve(supabase: TestDatabase) -> None:
    settings = as_project_owner(supabase)
    await asyncio.to_thread(migrate, settings)

    url = settings.database_url.get_secret_value()
    engine = create_engine(url, connect_timeout=5, poolclass=NullPool)
    assert set((await Readiness(engine).checks()).values()) == {OK}


async def test_migrates_if_another_login_created_the_role(supabase: TestDatabase) -> None:
    await supabase.execute(f"REVOKE session_service FROM {PROJECT_OWNER}")
    settings = as_project_owner(supabase)

    await asyncio.to_thread(migrate, settings)

    assert set((await checks(supabase)).values()) == {OK}


async def test_sessions_belong_to_users_of_supabase(supabase: TestDatabase) -> None:
    await asyncio.to_thread(migrate, as_project_owner(supabase))

    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await supabase.a_session()
    user_id = uuid4()
    await supabase.execute("INSERT INTO auth.users VALUES ($1, 'runner@example.com')", user_id)
    await supabase.a_session(user_id=user_id)
    await supabase.execute("DELETE FROM auth.users")
    assert await supabase.value("SELECT count(*) FROM sessions") == 0


@pytest.mark.parametrize(
    "table", ["sessions", "events", "outbox", "parked_events", "alembic_version"]
)
@pytest.mark.parametrize("role", ["anon", "authenticated", "service_role"])
async def test_revokes_the_privileges_that_supabase_grants_on_new_tables(
    supabase: TestDatabase, role: str, table: str
) -> None:
    await asyncio.to_thread(migrate, as_project_owner(supabase))

    granted = await supabase.value(
        """
        SELECT array_agg(privilege ORDER BY privilege)
        FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES',
            'TRIGGER']) AS privilege WHERE has_table_privilege($1, $2, privilege)
        """,
        role,
        table,
    )
    readable = role != "anon" and table in {"sessions", "events"}
    assert granted == (["SELECT"] if readable else None)


@pytest.mark.parametrize("role", ["anon", "authenticated", "service_role"])
async def test_revokes_the_privileges_that_supabase_grants_on_new_sequences_and_functions(
    supabase: TestDatabase, role: str
) -> None:
    await asyncio.to_thread(migrate, as_project_owner(supabase))

    sequence = "SELECT has_sequence_privilege($1, 'outbox_position_seq', 'USAGE, SELECT, UPDATE')"
    functions = """
        SELECT count(*), bool_or(has_function_privilege($1, oid, 'EXECUTE')) FROM pg_proc
        WHERE pronamespace = 'public'::regnamespace
    """
    assert not await supabase.value(sequence, role)
    assert [tuple(row.values()) for row in await supabase.fetch(functions, role)] == [(1, False)]

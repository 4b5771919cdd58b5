# SPDX-License-Identifier: MIT
"""Migrations up, down and up again, on plain PostgreSQL and on a Supabase-like database."""

import asyncio
import os
import re
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
from sqlalchemy import NullPool

from service.bootstrap.migrations import ALEMBIC_INI, alembic_config, migrate
from service.persistence.checks import OK, REVISION
from service.persistence.engine import create_engine
from service.persistence.readiness import Readiness
from service.persistence.tables import metadata
from tests.builders import NOWHERE
from tests.persistence.supabase import PROJECT_OWNER, SUPABASE_ROLES, as_project_owner
from tests.running import TestDatabase, a_database, test_settings

SCRIPTS = ScriptDirectory.from_config(Config(ALEMBIC_INI))

TAKES_AWAY = re.compile(r"\b(DROP|RENAME|SET NOT NULL|SET DATA TYPE|ALTER COLUMN \w+ TYPE)\b")

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
    SELECT format('%s %s', conname, replace(pg_get_constraintdef(oid), ' NOT VALID', ''))
        AS definition
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


async def upgrade(database: TestDatabase) -> None:
    await asyncio.to_thread(database.cluster.migrate, database.name)


async def downgrade(database: TestDatabase) -> None:
    await asyncio.to_thread(command.downgrade, alembic_config(database.settings), "base")


async def objects(database: TestDatabase) -> list[str]:
    return [row["object"] for row in await database.fetch(OBJECTS)]


async def checks(database: TestDatabase) -> dict[str, str]:
    engine = create_engine(database.api_url, connect_timeout=5, poolclass=NullPool)
    return await Readiness(engine).checks()


async def migrate_as_project_owner(database: TestDatabase) -> None:
    cluster = database.cluster
    await asyncio.to_thread(
        migrate,
        as_project_owner(database),
        grant_to=cluster.api_role,
        grant_relay_to=cluster.relay_role,
    )


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
    """Autogeneration compares neither checks nor conditions of indexes.

    A migration may leave the rows that are there to a later one, with NOT VALID.
    """
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
    """Commands wait behind a migration that waits, and give up after their own lock timeout."""
    text = Path(script.path).read_text()

    assert text.count("SET LOCAL lock_timeout = '1s'") == 2
    assert test_settings(database_url=NOWHERE).database_lock_timeout_seconds > 1


@pytest.mark.parametrize(
    "script", list(SCRIPTS.walk_revisions()), ids=lambda script: script.revision
)
def test_a_migration_that_takes_something_away_names_the_oldest_compatible_revision(
    script: Any,
) -> None:
    upgrade = re.split("DOWNGRADE|def downgrade", Path(script.path).read_text())[0]

    if TAKES_AWAY.search(upgrade):
        assert "COMMENT ON TABLE alembic_version IS 'oldest compatible revision: " in upgrade


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("status", "'tired'"),
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

    await migrate_as_project_owner(supabase)
    assert await supabase_objects(supabase) == before
    assert set((await checks(supabase)).values()) == {OK}

    await asyncio.to_thread(command.downgrade, alembic_config(settings), "base")
    assert await supabase_objects(supabase) == before

    await migrate_as_project_owner(supabase)
    assert set((await checks(supabase)).values()) == {OK}


async def test_the_login_that_migrates_is_not_ready_to_serve(supabase: TestDatabase) -> None:
    await migrate_as_project_owner(supabase)

    url = as_project_owner(supabase).database_url.get_secret_value()
    engine = create_engine(url, connect_timeout=5, poolclass=NullPool)
    assert (await Readiness(engine).checks())["role"] != OK


async def test_migrates_if_another_login_created_the_roles(supabase: TestDatabase) -> None:
    await supabase.execute(f"REVOKE session_service, session_relay FROM {PROJECT_OWNER}")

    await asyncio.to_thread(migrate, as_project_owner(supabase))

    await supabase.execute(f"GRANT session_service TO {supabase.cluster.api_role}")
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

# SPDX-License-Identifier: MIT
"""A rolling deploy: the previous version serves while the migrations of this one run."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest
from alembic import command
from sqlalchemy.exc import DBAPIError

from service.bootstrap.migrations import alembic_config
from service.persistence.checks import REVISION
from tests import previous_version
from tests.builders import a_session
from tests.engines.programs import Load, load_on
from tests.running import App, TestDatabase, eventually
from tests.system.processes import (
    PATIENCE_SECONDS,
    SERVICE,
    a_service,
    listening_url,
    serve_environment,
    started,
)

ENOUGH = 50
UNMEASURED = ("env", "-u", "COVERAGE_PROCESS_START", "-u", "COVERAGE_PROCESS_CONFIG", *SERVICE)
"""The previous version does not count for the coverage of this one."""

EXPAND = f"""
from alembic import op

revision = "0999"
down_revision = "{REVISION}"


def upgrade():
    op.execute("SET LOCAL lock_timeout = '1s'")
    op.execute("ALTER TABLE sessions ADD COLUMN mood text")
    op.execute("GRANT UPDATE (mood) ON sessions TO session_service")
    op.execute("CREATE TABLE moods (mood text PRIMARY KEY)")
"""


@asynccontextmanager
async def the_previous_version(database: TestDatabase, place: Path) -> AsyncIterator[App]:
    """It has migrated the database, and serves."""
    code = previous_version.directory(place)
    logins = ("--grant-to", database.cluster.api_role)
    owner = {"SERVICE_DATABASE_URL": database.url}
    run = partial(started, command=UNMEASURED, place=code)
    async with run("migrate", *logins, environment=owner) as migration:
        assert await migration.end() == 0, migration.output
    environment = serve_environment(database.api_url)
    async with run("serve", environment=environment) as process:
        url = await listening_url(process)
        async with httpx2.AsyncClient(base_url=url, timeout=PATIENCE_SECONDS) as client:
            yield App(url, client)


async def has_answered(load: Load, count: int) -> None:
    async def has() -> bool:
        return load.outcomes.total() >= count

    await eventually(has, tries=6000)


async def test_the_previous_version_serves_during_and_after_the_migrations_of_this_one(
    empty_database: TestDatabase, tmp_path: Path
) -> None:
    database = empty_database
    async with the_previous_version(database, tmp_path) as previous:
        async with load_on(previous, database, with_keys=True) as load:
            await has_answered(load, ENOUGH)
            await asyncio.to_thread(database.cluster.migrate, database.name)
            await has_answered(load, load.outcomes.total() + ENOUGH)
        assert (await previous.client.get("/readyz")).status_code == 200

        session = await database.a_session()
        key = {"Idempotency-Key": "retry"}
        async with a_service(database.api_url) as (_, present):
            first = await previous.fail(session, reason="knee", headers=key)
            again = await present.fail(session, reason="knee", headers=key)

    assert set(load.outcomes) == {"200"}
    assert (first.status_code, again.status_code) == (200, 200)
    assert (again.headers["Idempotent-Replayed"], again.content) == ("true", first.content)
    assert len(await database.events()) == load.outcomes.total() + 1


async def test_serves_and_stays_ready_while_a_later_migration_adds_to_the_schema(
    database: TestDatabase, tmp_path: Path
) -> None:
    (tmp_path / "0999_mood.py").write_text(EXPAND)
    async with a_service(database.api_url) as (_, app):
        async with load_on(app, database, with_keys=False) as load:
            await has_answered(load, ENOUGH)
            await eventually(lambda: _has_upgraded(database, tmp_path))
            await has_answered(load, load.outcomes.total() + ENOUGH)

        assert (await app.client.get("/readyz")).status_code == 200
    assert set(load.outcomes) == {"200"}
    assert await database.value("SELECT version_num FROM alembic_version") == "0999"


async def test_a_migration_that_must_wait_gives_up_before_the_commands_behind_it(
    database: TestDatabase, tmp_path: Path
) -> None:
    """A long transaction, such as that of a dump, holds the lock that the migration needs."""
    (tmp_path / "0999_mood.py").write_text(EXPAND)
    session = a_session()
    await database.insert(session)
    async with a_service(database.api_url) as (_, app):
        async with database.connection.transaction():
            await database.value("SELECT count(*) FROM sessions")
            migration = asyncio.create_task(asyncio.to_thread(_upgrade, database, tmp_path))

            async def waits() -> bool:
                return migration.done() or await _somebody_waits(database)

            await eventually(waits)
            answer = await app.fail(session)
            with pytest.raises(DBAPIError, match="lock timeout"):
                await migration

        assert answer.status_code == 200
        await asyncio.to_thread(_upgrade, database, tmp_path)
    assert await database.value("SELECT version_num FROM alembic_version") == "0999"


def _upgrade(database: TestDatabase, later: Path) -> None:
    config = alembic_config(database.settings)
    own = f"{config.get_main_option('script_location')}/versions"
    config.set_main_option("version_locations", f"{own}:{later}")
    command.upgrade(config, "0999")


async def _has_upgraded(database: TestDatabase, later: Path) -> bool:
    """False if the commands under way held the lock for as long as the migration waits."""
    try:
        await asyncio.to_thread(_upgrade, database, later)
    except DBAPIError as exc:
        if "lock timeout" not in str(exc):
            raise
        return False
    return True


async def _somebody_waits(database: TestDatabase) -> Any:
    return await database.value("SELECT count(*) FROM pg_locks WHERE NOT granted")

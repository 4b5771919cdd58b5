# SPDX-License-Identifier: MIT
"""Faults of PostgreSQL, and migrations."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from random import Random
from time import monotonic

import asyncpg
import psutil
from alembic import command
from alembic.util import CommandError
from sqlalchemy.exc import SQLAlchemyError

from service.application.errors import DependencyUnavailable, TransactionFailed
from service.bootstrap.migrations import alembic_config
from service.dev.homes import EmbeddedPostgresError
from tests.chaos.installation import Installation
from tests.chaos.nemesis import NotCaused

ERRORS = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # its words for a connection that was cut amid an answer
    OSError,
    TimeoutError,
)
"""What another fault may do to a stranger's connection."""

MIGRATION_ERRORS = (
    *ERRORS, DependencyUnavailable, TransactionFailed, SQLAlchemyError, CommandError
)  # fmt: skip
"""What another fault may do to `migrate`."""

REVISION_BEFORE = "0004"
"""The one before the newest."""

PATIENCE_SECONDS = 60
MIGRATION_SECONDS = 300
TERMINATE = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND random() < $1
"""
VICTIM = """
    SELECT pid FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND usename LIKE 'training%'
    ORDER BY random() LIMIT 1
"""
NEW_COLUMN = "ALTER TABLE sessions ADD COLUMN IF NOT EXISTS {} text"


@asynccontextmanager
async def killed(all_: Installation, _random: Random) -> AsyncIterator[None]:
    """Without a checkpoint; the next start recovers."""
    await asyncio.to_thread(all_.postgres.crash, signal.SIGKILL)
    try:
        yield
    finally:
        await restored(all_)


async def restored(all_: Installation) -> None:
    """Starts the server if it has ended; the children of a killed one may need a moment."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not all_.postgres.processes:
            try:
                await asyncio.to_thread(all_.postgres.start)
            except EmbeddedPostgresError:
                await asyncio.sleep(0.2)
        while not await _answers(all_):  # noqa: ASYNC110  a process starts
            await asyncio.sleep(0.1)


async def _answers(all_: Installation) -> bool:
    with suppress(*ERRORS):
        async with a_stranger(all_) as connection:
            await connection.execute("SELECT 1")
            return True
    return False


@asynccontextmanager
async def frozen(all_: Installation, _random: Random) -> AsyncIterator[None]:
    stopped = all_.postgres.processes
    for each in stopped:
        with suppress(psutil.NoSuchProcess):
            each.suspend()
    try:
        yield
    finally:
        for each in stopped:
            with suppress(psutil.NoSuchProcess):
                each.resume()


@asynccontextmanager
async def backend_killed(all_: Installation, _random: Random) -> AsyncIterator[None]:
    """PostgreSQL ends all other backends then, and recovers."""
    pid = None
    with suppress(*ERRORS, psutil.NoSuchProcess):
        async with a_stranger(all_) as connection:
            pid = await connection.fetchval(VICTIM)
        if pid:
            psutil.Process(pid).kill()
    if not pid:
        raise NotCaused
    try:
        yield
    finally:
        await restored(all_)


@asynccontextmanager
async def backends_terminated(all_: Installation, random: Random) -> AsyncIterator[None]:
    try:
        async with a_stranger(all_) as connection:
            await connection.execute(TERMINATE, random.choice([0.3, 1.0]))
    except ERRORS as exc:
        raise NotCaused from exc
    yield


@asynccontextmanager
async def column_added(all_: Installation, random: Random) -> AsyncIterator[None]:
    """As a later migration may do; tries again if it could not get the lock."""
    statement = NEW_COLUMN.format(f"mood_{random.randrange(10**6)}")
    for _ in range(3):
        try:
            async with a_stranger(all_) as connection, connection.transaction():
                await connection.execute("SET LOCAL lock_timeout = '1s'")
                await connection.execute(statement)
            break
        except ERRORS:
            await asyncio.sleep(0.5)
    else:
        raise NotCaused
    yield


@asynccontextmanager
async def migrated(all_: Installation, _random: Random) -> AsyncIterator[None]:
    """Takes the newest revision back, and runs `migrate` again, until it has succeeded.

    This revision may be taken back under load: the service accepts the policies of both, and none
    of them loses a row. In between, /readyz answers 503 as after a forgotten migration.
    """
    database = all_.database
    config = alembic_config(database.cluster.settings(database.name))
    is_taken_back = False
    with suppress(*MIGRATION_ERRORS):
        await asyncio.to_thread(command.downgrade, config, REVISION_BEFORE)
        is_taken_back = True
    await _migrated_again(all_)
    if not is_taken_back:
        raise NotCaused
    yield


async def _migrated_again(all_: Installation) -> None:
    """Other faults may keep it from this for a while."""
    end = monotonic() + MIGRATION_SECONDS
    while True:
        try:
            await asyncio.to_thread(all_.database.cluster.migrate, all_.database.name)
        except MIGRATION_ERRORS:
            if monotonic() > end:
                raise
            await asyncio.sleep(0.2)
        else:
            return


@asynccontextmanager
async def disk_full(all_: Installation, _random: Random) -> AsyncIterator[None]:
    try:
        async with all_.postgres_disk.full():
            yield
    finally:
        await restored(all_)


@asynccontextmanager
async def a_stranger(all_: Installation) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(all_.database.url, timeout=5, command_timeout=10)
    try:
        yield connection
    finally:
        connection.terminate()

# SPDX-License-Identifier: MIT
"""Faults of PostgreSQL, and of strangers that use it."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from random import Random

import asyncpg
import psutil

from service.application.errors import DependencyUnavailable, TransactionFailed
from service.dev.homes import EmbeddedPostgresError
from tests.chaos.installation import Installation

ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)
"""What another fault may do to a stranger's connection."""

MIGRATION_ERRORS = (*ERRORS, DependencyUnavailable, TransactionFailed)
"""What another fault may do to `migrate`."""

PATIENCE_SECONDS = 60
ROWS = 50
TERMINATE = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND random() < $1
"""
VICTIM = """
    SELECT pid FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND usename LIKE 'training%'
    ORDER BY random() LIMIT 1
"""
LOCK_ROWS = f"SELECT 1 FROM sessions WHERE status <> 'failed' LIMIT {ROWS} FOR UPDATE"
TABLES = ("sessions", "events", "outbox")
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
        async with _stranger(all_) as connection:
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
    with suppress(*ERRORS):
        async with _stranger(all_) as connection:
            pid = await connection.fetchval(VICTIM)
        if pid:
            psutil.Process(pid).kill()
    try:
        yield
    finally:
        await restored(all_)


@asynccontextmanager
async def backends_terminated(all_: Installation, random: Random) -> AsyncIterator[None]:
    with suppress(*ERRORS):
        async with _stranger(all_) as connection:
            await connection.execute(TERMINATE, random.choice([0.3, 1.0]))
    yield


@asynccontextmanager
async def rows_locked(all_: Installation, _random: Random) -> AsyncIterator[None]:
    async with _holding(all_, LOCK_ROWS):
        yield


@asynccontextmanager
async def table_locked(all_: Installation, random: Random) -> AsyncIterator[None]:
    mode = random.choice(["SHARE", "ACCESS EXCLUSIVE"])
    async with _holding(all_, f"LOCK TABLE {random.choice(TABLES)} IN {mode} MODE"):
        yield


@asynccontextmanager
async def migrated(all_: Installation, random: Random) -> AsyncIterator[None]:
    """Adds a column as a migration does, and again if it could not get the lock."""
    statement = NEW_COLUMN.format(f"mood_{random.randrange(10**6)}")
    for _ in range(3):
        try:
            async with _stranger(all_) as connection, connection.transaction():
                await connection.execute("SET LOCAL lock_timeout = '1s'")
                await connection.execute(statement)
            break
        except ERRORS:
            await asyncio.sleep(0.5)
    with suppress(*MIGRATION_ERRORS):
        await asyncio.to_thread(all_.database.cluster.migrate, all_.database.name)
    yield


@asynccontextmanager
async def connections_used_up(all_: Installation, _random: Random) -> AsyncIterator[None]:
    """A stranger takes every connection that becomes free, and the service's own are ended."""
    async with AsyncExitStack() as stack:
        enough = asyncio.Event()
        taking = asyncio.create_task(_take_all(all_, stack, enough))
        try:
            with suppress(*ERRORS):
                async with _stranger(all_) as connection:
                    await connection.execute(TERMINATE, 0.5)
            yield
        finally:
            enough.set()
            await asyncio.wait([taking])


async def _take_all(all_: Installation, stack: AsyncExitStack, enough: asyncio.Event) -> None:
    """Ends by itself: on asyncio's loop, asyncpg 0.32 cannot be cancelled while it connects.

    If the cancellation comes between the connection by TCP and the request for TLS, asyncpg sets an
    exception on a future that no task awaits, and asyncio logs it as never retrieved.
    """
    url = all_.database.api_url
    while not enough.is_set():
        try:
            connection = await asyncpg.connect(url, timeout=5)
            stack.callback(connection.terminate)
        except ERRORS:
            await asyncio.sleep(0.05)


@asynccontextmanager
async def disk_full(all_: Installation, _random: Random) -> AsyncIterator[None]:
    try:
        with all_.postgres_disk.full():
            yield
    finally:
        await restored(all_)


@asynccontextmanager
async def _stranger(all_: Installation) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(all_.database.url, timeout=5, command_timeout=10)
    try:
        yield connection
    finally:
        connection.terminate()


@asynccontextmanager
async def _holding(all_: Installation, statement: str) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        with suppress(*ERRORS):
            connection = await stack.enter_async_context(_stranger(all_))
            await connection.execute("BEGIN")
            await connection.execute(statement)
        yield

# SPDX-License-Identifier: MIT
"""Transactions that begin with their settings, in one round trip."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress

from sqlalchemy import Connection, Engine
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.util import greenlet_spawn

from service.persistence.driver import cut_after, driver_connection
from service.persistence.errors import DRIVER_ERRORS, unavailable

GIVE_UP_SECONDS = 1.0
"""For the server to roll back, before the connection is cut."""


@contextmanager
def transaction(engine: Engine, settings: str) -> Iterator[Connection]:
    """A transaction that is rolled back unless committed; it begins with the statements `settings`.

    The first statement in the block sends BEGIN. The caller limits the time by `cut_after`.

    Raises DependencyUnavailable. Runs in SQLAlchemy's `greenlet_spawn`.
    """
    try:
        connection = engine.connect()
    except DRIVER_ERRORS as exc:  # of the statements that SQLAlchemy sends on a new connection
        raise unavailable(exc) from exc
    driver = driver_connection(connection)
    driver.after_begin = settings
    try:
        yield connection
    finally:
        driver.after_begin = None
        # SQLAlchemy throws away a connection that cannot roll back.
        with cut_after(driver, GIVE_UP_SECONDS), suppress(*DRIVER_ERRORS):
            connection.close()


@asynccontextmanager
async def awaited_transaction(engine: AsyncEngine, settings: str) -> AsyncIterator[AsyncConnection]:
    """A `transaction` whose statements are awaited one by one."""
    opened = transaction(engine.sync_engine, settings)
    connection = await greenlet_spawn(opened.__enter__)
    try:
        yield AsyncConnection(engine, connection)
    finally:
        await greenlet_spawn(opened.__exit__, None, None, None)


def set_locally(settings: Mapping[str, str]) -> str:
    """Statements for settings that end with the transaction. Nothing is escaped: values are fixed.

    PostgreSQL neither plans SET nor takes a snapshot for it: half the time of `set_config`.
    """
    return " ".join(f"SET LOCAL {name} = '{value}';" for name, value in settings.items())


def milliseconds(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"

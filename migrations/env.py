"""Runs the migrations over asyncpg: all of them in one transaction, or none."""

import asyncio

from alembic import context
from sqlalchemy import Connection, func, select

from service.bootstrap.migrations import engine_of
from service.bootstrap.settings import DatabaseSettings
from service.persistence.tables import metadata

_ONE_AT_A_TIME = 7_264_110_300_551
"""Any number, as long as every migration of this service locks the same."""


def _run(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=metadata)
    with context.begin_transaction():
        connection.execute(select(func.pg_advisory_xact_lock(_ONE_AT_A_TIME)))
        context.run_migrations()


async def _connect_and_run() -> None:
    settings: DatabaseSettings = context.config.attributes.get("settings") or DatabaseSettings()
    engine = engine_of(settings)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_run)
    finally:
        await engine.dispose()


asyncio.run(_connect_and_run())

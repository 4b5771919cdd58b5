"""Runs the migrations over asyncpg: all of them in one transaction, or none."""

import asyncio

from alembic import context
from sqlalchemy import Connection, NullPool, func, select

from service.persistence.database import create_engine
from service.persistence.tables import metadata
from service.settings import DatabaseSettings

_ONE_AT_A_TIME = 7_264_110_300_551
"""Any number, as long as every migration of this service locks the same."""


def _run(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=metadata)
    with context.begin_transaction():
        connection.execute(select(func.pg_advisory_xact_lock(_ONE_AT_A_TIME)))
        context.run_migrations()


async def _connect_and_run() -> None:
    settings: DatabaseSettings = context.config.attributes.get("settings") or DatabaseSettings()
    engine = create_engine(
        settings.database_url.get_secret_value(),
        connect_timeout=settings.database_connect_timeout_seconds,
        transaction_pooler=settings.database_transaction_pooler,
        poolclass=NullPool,
    )
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_run)
    finally:
        await engine.dispose()


asyncio.run(_connect_and_run())

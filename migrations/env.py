"""Runs the migrations over asyncpg, all of them in one transaction."""

import asyncio

from alembic import context
from sqlalchemy import Connection, func, select

from service.bootstrap.migrations import MIGRATION_LOCK, create_unpooled_engine
from service.bootstrap.settings import DatabaseSettings
from service.persistence.tables import metadata

SUPABASE_FOREIGN_KEY = "sessions_user_id_fkey"
"""Exists on Supabase alone, so the tables of the code do not have it."""


def _run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        include_object=lambda _object, name, *_rest: name != SUPABASE_FOREIGN_KEY,
    )
    with context.begin_transaction():
        connection.execute(select(func.pg_advisory_xact_lock(MIGRATION_LOCK)))
        context.run_migrations()


async def _connect_and_run() -> None:
    settings: DatabaseSettings = context.config.attributes.get("settings") or DatabaseSettings()
    engine = create_unpooled_engine(settings)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_run)
    finally:
        await engine.dispose()


asyncio.run(_connect_and_run())

# SPDX-License-Identifier: MIT
"""Runs the migrations over asyncpg, all of them in one transaction."""

import asyncio
from contextlib import suppress
from typing import Any

from alembic import context
from alembic.script.revision import RevisionError
from alembic.util import CommandError
from sqlalchemy import Connection, func, select

from service.application.progress import NO_PROGRESS, Progress
from service.bootstrap.migrations import MIGRATION_LOCK, create_unpooled_engine
from service.bootstrap.settings import DatabaseSettings
from service.persistence.tables import metadata

SUPABASE_FOREIGN_KEY = "sessions_user_id_fkey"
"""Exists on Supabase alone, so the tables of the code do not have it."""


def _begin(progress: Progress, revision: tuple[str, ...]) -> None:
    """Counts the migrations to come; a database of another version fails later, with a sentence."""
    with suppress(CommandError, RevisionError):
        pending = list(context.script.iterate_revisions("heads", revision))
        progress.begin("migrate", len(pending), "migrations")


def _run(connection: Connection) -> None:
    progress: Progress = context.config.attributes.get("progress", NO_PROGRESS)

    def advance(*_: Any, **_facts: Any) -> None:
        progress.advance(1)

    context.configure(
        connection=connection,
        target_metadata=metadata,
        include_object=lambda _object, name, *_rest: name != SUPABASE_FOREIGN_KEY,
        on_version_apply=advance,
    )
    with context.begin_transaction():
        connection.execute(select(func.pg_advisory_xact_lock(MIGRATION_LOCK)))
        _begin(progress, context.get_context().get_current_heads())
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

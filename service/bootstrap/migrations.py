# SPDX-License-Identifier: MIT
"""Brings the schema of a database to the newest revision, and grants the roles to their logins."""

import asyncio
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import NullPool, func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from service.application.progress import NO_PROGRESS, Progress
from service.bootstrap.settings import DatabaseSettings
from service.persistence import committing
from service.persistence.engine import create_engine
from service.persistence.roles import ERASER_ROLE, RELAY_ROLE, SERVICE_ROLE, grant_role

_INSTALLED = Path(__file__).parents[1] / "schema" / "alembic.ini"
_OF_CHECKOUT = Path(__file__).parents[2] / "alembic.ini"
ALEMBIC_INI = _INSTALLED if _INSTALLED.exists() else _OF_CHECKOUT

MIGRATION_LOCK = 7_264_110_300_551
"""Key of the advisory lock that lets one migration run at a time; any number would do."""


def alembic_config(settings: DatabaseSettings) -> Config:
    config = Config(ALEMBIC_INI)
    config.attributes["settings"] = settings
    return config


def migrate(
    settings: DatabaseSettings,
    *,
    grant_to: str | None = None,
    grant_relay_to: str | None = None,
    grant_eraser_to: str | None = None,
    progress: Progress = NO_PROGRESS,
) -> list[str]:
    """Runs the migrations that have not run yet. Must not be called from a running event loop.

    `grant_to` names the login of the API, `grant_relay_to` that of the relay, `grant_eraser_to`
    that of `erase` and `prune`. Returns a sentence about each. Raises WrongLogin; then the
    migrations have run, and nothing is granted. Raises CommitUnknown if a failover may still undo
    what was done.
    """
    config = alembic_config(settings)
    config.attributes["progress"] = progress
    command.upgrade(config, "head")
    logins = {SERVICE_ROLE: grant_to, RELAY_ROLE: grant_relay_to, ERASER_ROLE: grant_eraser_to}
    wanted = {role: login for role, login in logins.items() if login}
    return asyncio.run(_grant_and_confirm(settings, wanted))


def create_unpooled_engine(settings: DatabaseSettings) -> AsyncEngine:
    """An engine without a pool, for commands that run once."""
    return create_engine(
        settings.database_url.get_secret_value(),
        connect_timeout=settings.database_connect_timeout_seconds,
        transaction_pooler=settings.database_transaction_pooler,
        poolclass=NullPool,
    )


async def _grant_and_confirm(settings: DatabaseSettings, wanted: dict[str, str]) -> list[str]:
    engine = create_unpooled_engine(settings)
    try:
        granted = await _grant(engine, wanted) if wanted else []
        async with engine.connect() as connection:
            await connection.run_sync(committing.confirm)
        return granted
    finally:
        await engine.dispose()


async def _grant(engine: AsyncEngine, wanted: dict[str, str]) -> list[str]:
    async with engine.begin() as connection:
        await connection.execute(select(func.pg_advisory_xact_lock(MIGRATION_LOCK)))
        return [await grant_role(connection, role, login) for role, login in wanted.items()]

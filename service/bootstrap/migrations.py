"""Brings the schema of a database to the newest revision."""

import asyncio
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import NullPool, text
from sqlalchemy.ext.asyncio import AsyncEngine

from service.bootstrap.settings import DatabaseSettings
from service.persistence.database import SERVICE_ROLE
from service.persistence.engine import create_engine
from service.persistence.outbox import RELAY_ROLE

ALEMBIC_INI = Path(__file__).parents[2] / "alembic.ini"


def alembic_config(settings: DatabaseSettings) -> Config:
    config = Config(ALEMBIC_INI)
    config.attributes["settings"] = settings
    return config


def migrate(settings: DatabaseSettings, *, grant_to: str | None = None) -> None:
    """Runs the migrations that have not run yet. Must not be called from a running event loop.

    `grant_to` names a login that may then act as the service and as the relay.
    """
    command.upgrade(alembic_config(settings), "head")
    if grant_to:
        asyncio.run(_grant(settings, grant_to))


def create_unpooled_engine(settings: DatabaseSettings) -> AsyncEngine:
    """An engine without a pool, for commands that run once."""
    return create_engine(
        settings.database_url.get_secret_value(),
        connect_timeout=settings.database_connect_timeout_seconds,
        transaction_pooler=settings.database_transaction_pooler,
        poolclass=NullPool,
    )


async def _grant(settings: DatabaseSettings, login: str) -> None:
    engine = create_unpooled_engine(settings)
    try:
        async with engine.begin() as connection:
            quoted = engine.dialect.identifier_preparer.quote_identifier(login)
            await connection.execute(text(f"GRANT {SERVICE_ROLE}, {RELAY_ROLE} TO {quoted}"))
    finally:
        await engine.dispose()

# SPDX-License-Identifier: MIT
"""Logins of the embedded PostgreSQL."""

from sqlalchemy import text

from service.bootstrap.migrations import create_unpooled_engine
from service.bootstrap.settings import DatabaseSettings

API_ROLE, RELAY_ROLE, CONSUMER_ROLE = "training_api", "training_relay", "training_consumer"

_MAKE_LOGIN = """
    DO $$ BEGIN
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{name}') THEN
            CREATE ROLE {name} LOGIN;
        END IF;
    END $$
"""


async def make_login(settings: DatabaseSettings, name: str) -> None:
    async with create_unpooled_engine(settings).begin() as connection:
        await connection.execute(text(_MAKE_LOGIN.format(name=name)))


async def make_database(settings: DatabaseSettings, name: str) -> None:
    """Makes a database of the name of its owner, which is a login."""
    engine = create_unpooled_engine(settings).execution_options(isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        found = text("SELECT 1 FROM pg_database WHERE datname = :name")
        if not (await connection.execute(found, {"name": name})).first():
            await connection.execute(text(f"CREATE DATABASE {name} OWNER {name}"))

"""The engine, and transactions that begin with their settings in one round trip."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import asyncpg
import orjson
from sqlalchemy import Pool, event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from service.application.errors import DependencyUnavailable
from service.persistence.errors import DRIVER_ERRORS

GIVE_UP_SECONDS = 1.0
"""For the server to roll back, before the connection is cut."""


class _Connection(asyncpg.Connection):
    """Sends `opening` with the next BEGIN: two statements, one round trip.

    Refuses any other statement before it, which would run with the rights of the login.
    """

    opening: str | None = None
    watchdog: asyncio.TimerHandle

    async def execute(self, query: str, *args: Any, **options: Any) -> str:
        if self.opening is None:
            return await super().execute(query, *args, **options)
        if not query.startswith("BEGIN"):
            raise asyncpg.InterfaceError("the transaction has not begun")
        opening, self.opening = self.opening, None
        try:
            return await super().execute(f"{query} {opening}")
        except asyncpg.PostgresError:
            self.terminate()  # asyncpg believes that the transaction has begun
            raise

    async def prepare(self, query: str, **options: Any) -> Any:
        if self.opening is not None:
            raise asyncpg.InterfaceError("the transaction has not begun")
        return await super().prepare(query, **options)


def create_engine(
    url: str,
    *,
    connect_timeout: float,
    pool_size: int = 1,
    transaction_pooler: bool = False,
    poolclass: type[Pool] | None = None,
) -> AsyncEngine:
    """An engine for a URL as libpq knows it: asyncpg reads it, `sslmode` and all.

    `connect_timeout` in seconds. Behind a pooler in transaction mode, the next statement may come
    to a connection that does not have this one's prepared statement, so none is kept.
    """

    async def connect(**options: Any) -> _Connection:
        connection: _Connection = await asyncpg.connect(
            url, timeout=connect_timeout, connection_class=_Connection, **options
        )
        # For the statements that SQLAlchemy sends on a new connection.
        loop = asyncio.get_running_loop()
        connection.watchdog = loop.call_later(connect_timeout, connection.terminate)
        return connection

    connect_args: dict[str, Any] = {"async_creator_fn": connect}
    if transaction_pooler:
        connect_args["statement_cache_size"] = 0
        connect_args["prepared_statement_cache_size"] = 0
    pooling: dict[str, Any] = (
        {"poolclass": poolclass} if poolclass else {"pool_size": pool_size, "max_overflow": 0}
    )
    engine = create_async_engine(
        "postgresql+asyncpg://",
        connect_args=connect_args,
        json_deserializer=orjson.loads,
        hide_parameters=True,  # in errors and logs: users wrote some of them
        **pooling,
    )

    @event.listens_for(engine.sync_engine, "connect")
    def stop_watchdog(connection: Any, _record: object) -> None:
        connection.driver_connection.watchdog.cancel()

    return engine


@asynccontextmanager
async def transaction(
    engine: AsyncEngine, settings: Mapping[str, str]
) -> AsyncIterator[AsyncConnection]:
    """A transaction that begins with these settings, and is rolled back unless committed.

    Its first statement begins it. The caller limits its time by `cut_after`.

    Raises DependencyUnavailable.
    """
    try:
        connection = await engine.connect()
    except DRIVER_ERRORS as exc:
        raise DependencyUnavailable("database") from exc
    driver = driver_connection(connection)
    driver.opening = opening(settings)
    try:
        yield connection
    finally:
        driver.opening = None
        await _release(connection, driver)


def opening(settings: Mapping[str, str]) -> str:
    """Sets them until the end of the transaction."""
    calls = (f"set_config('{name}', '{value}', true)" for name, value in settings.items())
    return f"SELECT {', '.join(calls)}"


def milliseconds(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"


def driver_connection(connection: AsyncConnection) -> _Connection:
    sync_connection: Any = connection.sync_connection
    return sync_connection.connection.driver_connection  # type: ignore[no-any-return]  # not typed


@contextmanager
def cut_after(driver: _Connection, seconds: float) -> Iterator[None]:
    """Cuts the connection if the block takes longer: a host that has vanished never answers.

    A cut is no cancellation. Whether a COMMIT happened can be found out on another connection.
    """
    watchdog = asyncio.get_running_loop().call_later(seconds, _cut, driver)
    try:
        yield
    finally:
        watchdog.cancel()


def _cut(driver: _Connection) -> None:
    with suppress(asyncpg.InterfaceError):  # it is closed already
        driver.terminate()


async def _release(connection: AsyncConnection, driver: _Connection) -> None:
    """Rolls back unless committed. SQLAlchemy throws away a connection that cannot do so."""
    with cut_after(driver, GIVE_UP_SECONDS), suppress(*DRIVER_ERRORS):
        await connection.close()

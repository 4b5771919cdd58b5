"""Connections to PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import Pool
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from service.application.errors import DependencyUnavailable, Overloaded
from service.persistence.errors import translated
from service.persistence.unit_of_work import SqlUnitOfWork

ROLE = "session_service"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Times in seconds."""

    pool_size: int
    pool_timeout: float
    lock_timeout: float
    statement_timeout: float
    idle_in_transaction_timeout: float

    @property
    def transaction_max(self) -> float:
        """After which the server has ended a transaction that goes on, if it is there at all."""
        return self.statement_timeout + self.idle_in_transaction_timeout


BEGIN_FIRST = "a unit of work has to begin before anything else"


class _Connection(asyncpg.Connection):
    """Sends `opening` with the next BEGIN: two statements, one round trip.

    Refuses any other statement before it, which would run as whoever logged in.
    """

    opening: str | None = None

    async def execute(self, query: str, *args: Any, **options: Any) -> str:
        if self.opening is None:
            return await super().execute(query, *args, **options)
        if not query.startswith("BEGIN"):
            raise asyncpg.InterfaceError(BEGIN_FIRST)
        opening, self.opening = self.opening, None
        try:
            return await super().execute(f"{query} {opening}")
        except asyncpg.PostgresError:
            self.terminate()  # asyncpg takes it for begun, and could not begin anew
            raise

    async def prepare(self, query: str, **options: Any) -> Any:
        if self.opening is not None:
            raise asyncpg.InterfaceError(BEGIN_FIRST)
        return await super().prepare(query, **options)


def create_engine(
    url: str,
    *,
    connect_timeout: float,
    transaction_pooler: bool = False,
    pool_size: int = 1,
    poolclass: type[Pool] | None = None,
) -> AsyncEngine:
    """An engine for a URL as libpq knows it: asyncpg reads it, `sslmode` and all.

    Behind a pooler in transaction mode a prepared statement may be on another connection when
    it is needed, so none is kept: all are the unnamed one, which the next replaces.
    """

    async def connect(**options: Any) -> asyncpg.Connection:
        return await asyncpg.connect(
            url, timeout=connect_timeout, connection_class=_Connection, **options
        )

    connect_args: dict[str, Any] = {"async_creator_fn": connect}
    if transaction_pooler:
        connect_args["statement_cache_size"] = 0
        connect_args["prepared_statement_cache_size"] = 0
        connect_args["prepared_statement_name_func"] = lambda: ""
    pooling: dict[str, Any] = (
        {"poolclass": poolclass} if poolclass else {"pool_size": pool_size, "max_overflow": 0}
    )
    # Parameters are hidden from errors and logs: among them are what users wrote.
    return create_async_engine(
        "postgresql+asyncpg://", connect_args=connect_args, hide_parameters=True, **pooling
    )


def milliseconds(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"


class Database:
    """Opens units of work. A semaphore lets them wait in order, which the pool alone does not."""

    def __init__(self, engine: AsyncEngine, limits: Limits) -> None:
        self._engine = engine
        self._places = asyncio.Semaphore(limits.pool_size)
        self._pool_timeout = limits.pool_timeout
        self._transaction_max = limits.transaction_max
        self._settings = {
            "role": ROLE,
            "lock_timeout": milliseconds(limits.lock_timeout),
            "statement_timeout": milliseconds(limits.statement_timeout),
            "idle_in_transaction_session_timeout": milliseconds(limits.idle_in_transaction_timeout),
        }

    @asynccontextmanager
    async def unit_of_work(self, acting_users: frozenset[UUID]) -> AsyncIterator[SqlUnitOfWork]:
        """A transaction as the service's role, which sees rows of `acting_users` alone.

        Raises Overloaded and DependencyUnavailable.
        """
        if not acting_users:
            raise ValueError("a unit of work acts for somebody")
        with translated():
            async with self._place(), self._connection() as connection:
                driver: Any = (await connection.get_raw_connection()).driver_connection
                driver.opening = self._opening(acting_users)
                # A host that vanished never answers. To cut the connection is not to cancel
                # what is under way: what became of a COMMIT is found out on another one.
                watchdog = asyncio.get_running_loop().call_later(
                    self._transaction_max, driver.terminate
                )
                try:
                    yield SqlUnitOfWork(connection)
                finally:
                    watchdog.cancel()
                    driver.opening = None

    def _opening(self, acting_users: frozenset[UUID]) -> str:
        settings = {**self._settings, "service.acting_users": ",".join(map(str, acting_users))}
        calls = (f"set_config('{name}', '{value}', true)" for name, value in settings.items())
        return f"SELECT {', '.join(calls)}"

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._pool_timeout):
                await self._places.acquire()
        except TimeoutError:
            raise Overloaded from None
        try:
            yield
        finally:
            self._places.release()

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[AsyncConnection]:
        try:
            connection = await self._engine.connect()
        except (OSError, DBAPIError, asyncpg.PostgresError, asyncpg.InterfaceError) as exc:
            raise DependencyUnavailable("database") from exc
        try:
            yield connection
        finally:
            await connection.close()

"""Connections to PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import Pool
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from service.application.errors import DependencyUnavailable, Overloaded, TimedOut
from service.persistence.errors import DRIVER_ERRORS, translated
from service.persistence.statements import Connection, Statement
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


STATEMENT_CACHE_SIZE = 100
GIVE_UP_SECONDS = 1.0
"""For the server to give up a statement that it was told to, before its connection is cut."""


def create_pool(
    url: str,
    *,
    size: int,
    connect_timeout: float,
    transaction_pooler: bool = False,
    on_connect: Any = None,
) -> asyncpg.Pool:
    """Connections for units of work, each made when it is first needed.

    `url` as libpq knows it: asyncpg reads it, `sslmode` and all. Behind a pooler in transaction
    mode a prepared statement may be on another connection when it is needed, so none is kept.
    """
    return asyncpg.create_pool(
        url,
        min_size=0,
        max_size=size,
        timeout=connect_timeout,
        init=on_connect,
        reset=_nothing_to_reset,
        statement_cache_size=0 if transaction_pooler else STATEMENT_CACHE_SIZE,
    )


async def _nothing_to_reset(_connection: object) -> None:
    """Every setting ends with its transaction."""


def create_engine(
    url: str,
    *,
    connect_timeout: float,
    transaction_pooler: bool = False,
    poolclass: type[Pool] | None = None,
) -> AsyncEngine:
    """One connection, for what is done once or now and then: migrations, readiness."""

    async def connect(**options: Any) -> asyncpg.Connection:
        return await asyncpg.connect(url, timeout=connect_timeout, **options)

    connect_args: dict[str, Any] = {"async_creator_fn": connect}
    if transaction_pooler:
        connect_args["statement_cache_size"] = 0
        connect_args["prepared_statement_cache_size"] = 0
        connect_args["prepared_statement_name_func"] = lambda: ""
    pooling: dict[str, Any] = (
        {"poolclass": poolclass} if poolclass else {"pool_size": 1, "max_overflow": 0}
    )
    # Parameters are hidden from errors and logs: among them are what users wrote.
    return create_async_engine(
        "postgresql+asyncpg://",
        connect_args=connect_args,
        hide_parameters=True,
        **pooling,
    )


def milliseconds(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"


def begin_with(settings: Mapping[str, str]) -> str:
    """Begins a transaction with these settings, which end with it: two statements, one trip."""
    calls = [f"set_config('{name}', '{value}', true)" for name, value in settings.items()]
    return f"BEGIN; SELECT {', '.join(calls)}"


@asynccontextmanager
async def connected(pool: asyncpg.Pool, time: float | None = None) -> AsyncIterator[Connection]:
    """A connection; what it began is rolled back. After `time`, in seconds, it is cut.

    Raises DependencyUnavailable.
    """
    try:
        connection = await pool.acquire()
    except DRIVER_ERRORS as exc:
        raise DependencyUnavailable("database") from exc
    with cut_after(connection, time) if time else nullcontext():
        try:
            yield connection
        finally:
            try:
                await _roll_back(connection)
            finally:
                # What was committed stays so, whatever becomes of the connection.
                with suppress(*DRIVER_ERRORS):
                    await pool.release(connection, timeout=GIVE_UP_SECONDS)


@contextmanager
def cut_after(connection: Connection, time: float) -> Iterator[None]:
    """A host that vanished never answers. To cut the connection is not to cancel what is under way:
    what became of a COMMIT is found out on another one."""
    watchdog = asyncio.get_running_loop().call_later(time, _cut, connection)
    try:
        yield
    finally:
        watchdog.cancel()


async def _roll_back(connection: Connection) -> None:
    """What was not committed."""
    try:
        with cut_after(connection, GIVE_UP_SECONDS):
            if connection.is_in_transaction():
                await connection.execute("ROLLBACK")
    except DRIVER_ERRORS:
        _cut(connection)


def _cut(connection: Connection) -> None:
    with suppress(asyncpg.InterfaceError):  # it is closed already
        connection.terminate()


class Database:
    """Opens units of work. A semaphore lets them wait in order, which the pool alone does not."""

    def __init__(
        self, pool: asyncpg.Pool, limits: Limits, *, transaction_pooler: bool = False
    ) -> None:
        self._pool = pool
        self._transaction_pooler = transaction_pooler
        self._places = asyncio.Semaphore(limits.pool_size)
        self._pool_timeout = limits.pool_timeout
        self._statement_timeout = limits.statement_timeout
        self._transaction_max = limits.transaction_max
        settings = {
            "role": ROLE,
            "lock_timeout": milliseconds(limits.lock_timeout),
            "statement_timeout": milliseconds(limits.statement_timeout),
            "idle_in_transaction_session_timeout": milliseconds(limits.idle_in_transaction_timeout),
        }
        self._begin = begin_with(settings)

    @asynccontextmanager
    async def unit_of_work(self, acting_users: frozenset[UUID]) -> AsyncIterator[SqlUnitOfWork]:
        """A transaction as the service's role, which sees rows of `acting_users` alone.

        Raises Overloaded and DependencyUnavailable.
        """
        if not acting_users:
            raise ValueError("a unit of work acts for somebody")
        users = ",".join(map(str, acting_users))
        with translated():
            async with self._place(), connected(self._pool, self._transaction_max) as connection:
                await connection.execute(
                    f"{self._begin}, set_config('service.acting_users', '{users}', true)"
                )
                yield SqlUnitOfWork(connection)

    async def read(
        self, statement: Statement, parameters: Mapping[str, Any]
    ) -> list[asyncpg.Record]:
        """The rows of one statement, which has to become the service's role by itself.

        Raises Overloaded, DependencyUnavailable and TransactionFailed.
        """
        with translated():
            async with self._place(), connected(self._pool, self._transaction_max) as connection:
                # To prepare and to execute are two trips; only within a transaction do both
                # come to the same connection of such a pooler's.
                if self._transaction_pooler:
                    await connection.execute("BEGIN")
                try:
                    return await statement.rows(
                        connection, parameters, limit=self._statement_timeout
                    )
                except TimeoutError as exc:
                    raise TimedOut from exc

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

"""Connections to PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import Pool
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from service.application.errors import DependencyUnavailable, Overloaded
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
    def settings(self) -> dict[str, str]:
        return {
            "lock_timeout": milliseconds(self.lock_timeout),
            "statement_timeout": milliseconds(self.statement_timeout),
            "idle_in_transaction_session_timeout": milliseconds(self.idle_in_transaction_timeout),
        }

    @property
    def transaction_max(self) -> float:
        """After which the server has ended a transaction that goes on, if it is there at all."""
        return self.statement_timeout + self.idle_in_transaction_timeout


STATEMENT_CACHE_SIZE = 100
GIVE_UP_SECONDS = 1.0
"""For the server to give up a statement that it was told to, before its connection is cut."""


OnConnect = Callable[[asyncpg.Connection], Awaitable[None]]


async def _nothing(_connection: object) -> None:
    """There is nothing to reset: what a transaction sets ends with it."""


def create_pool(
    url: str,
    *,
    size: int,
    connect_timeout: float,
    transaction_pooler: bool = False,
    settings: Mapping[str, str] | None = None,
    on_connect: OnConnect = _nothing,
) -> asyncpg.Pool:
    """Connections, each made with these settings when it is first needed.

    `url` as libpq knows it: asyncpg reads it, `sslmode` and all. Behind a pooler in transaction
    mode a prepared statement or a setting may be on another connection when it is needed, so none
    is kept there.
    """

    async def prepare(connection: asyncpg.Connection) -> None:
        if settings and not transaction_pooler:
            with cut_after(connection, connect_timeout):
                await connection.execute(f"SELECT {_calls(settings, is_local=False)}")
        await on_connect(connection)

    return asyncpg.create_pool(
        url,
        min_size=0,
        max_size=size,
        timeout=connect_timeout,
        init=prepare,
        reset=_nothing,
        statement_cache_size=0 if transaction_pooler else STATEMENT_CACHE_SIZE,
    )


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
    return f"BEGIN; SELECT {_calls(settings, is_local=True)}"


def _calls(settings: Mapping[str, str], *, is_local: bool) -> str:
    local = str(is_local).lower()
    return ", ".join(
        f"set_config('{name}', '{value}', {local})" for name, value in settings.items()
    )


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
    """Opens units of work. A semaphore lets them wait in order, which the pool alone does not.

    The pool's connections have the limits' settings.
    """

    def __init__(
        self, pool: asyncpg.Pool, limits: Limits, *, transaction_pooler: bool = False
    ) -> None:
        self._pool = pool
        self._begin = begin_with(limits.settings) if transaction_pooler else None
        self._places = asyncio.Semaphore(limits.pool_size)
        self._pool_timeout = limits.pool_timeout
        self._transaction_max = limits.transaction_max

    @asynccontextmanager
    async def unit_of_work(self, acting_users: frozenset[UUID]) -> AsyncIterator[SqlUnitOfWork]:
        """Sees rows of `acting_users` alone. Raises Overloaded and DependencyUnavailable."""
        if not acting_users:
            raise ValueError("a unit of work acts for somebody")
        async with self._connection() as connection:
            yield SqlUnitOfWork(connection, acting_users)

    async def read(
        self, statement: Statement, parameters: Mapping[str, Any]
    ) -> list[asyncpg.Record]:
        """The rows of one statement, which has to become the service's role by itself.

        Raises Overloaded, DependencyUnavailable and TransactionFailed.
        """
        async with self._connection() as connection:
            return await statement.rows(connection, parameters)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        with translated():
            async with self._place(), connected(self._pool, self._transaction_max) as connection:
                # To prepare and to execute are two trips; only within a transaction do both
                # come to the same connection of such a pooler's.
                if self._begin:
                    await connection.execute(self._begin)
                yield connection

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

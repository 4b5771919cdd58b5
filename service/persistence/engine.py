# SPDX-License-Identifier: MIT
"""The engine, and transactions that begin with their settings in one round trip."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any
from uuid import uuid4

import asyncpg
import orjson
from sqlalchemy import Connection, Engine, ExceptionContext, Pool, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.util import greenlet_spawn

from service.application.errors import DependencyUnavailable
from service.persistence.connect_causes import connect_cause
from service.persistence.connecting import connect
from service.persistence.database_url import parse_database_url
from service.persistence.errors import DATABASE, DRIVER_ERRORS, READ_ONLY, unavailable

GIVE_UP_SECONDS = 1.0
"""For the server to roll back, before the connection is cut."""


GENERATION_SECONDS = 1.0


class _Generation:
    """Which connections of an engine are out of date, because their server can only be read."""

    def __init__(self) -> None:
        self._ended_at = float("-inf")

    def end(self) -> None:
        """Not more often than `GENERATION_SECONDS`, as no other server may exist."""
        if time.monotonic() - self._ended_at >= GENERATION_SECONDS:
            self._ended_at = time.monotonic()

    def has_ended_since(self, moment: float) -> bool:
        return self._ended_at > moment


class _Connection(asyncpg.Connection):
    """Sends `after_begin`, statements, together with the next BEGIN, in one round trip.

    Refuses any other statement before it, which would run with the rights of the login.
    """

    after_begin: str | None = None
    watchdog: asyncio.TimerHandle
    generation: _Generation
    made_at: float

    async def execute(self, query: str, *args: Any, **options: Any) -> str:
        if self.after_begin is None:
            return await super().execute(query, *args, **options)
        if query != "BEGIN;":
            raise asyncpg.InterfaceError("the transaction has not begun")
        after_begin, self.after_begin = self.after_begin, None
        try:
            return await super().execute(f"{query} {after_begin}")
        except asyncpg.PostgresError:
            self.terminate()  # asyncpg believes that the transaction has begun
            raise

    async def prepare(self, query: str, **options: Any) -> Any:
        if self.after_begin is not None:
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
    """An engine for a URL as libpq knows it. Raises WrongUrl.

    `connect_timeout` in seconds, unless the URL has one. Behind a pooler in transaction mode, the
    next statement may come to a connection that does not have this one's prepared statement, so
    none is kept.

    Where the engine makes a connection, it raises DependencyUnavailable with the cause.
    """

    target = parse_database_url(url)
    timeout = target.connect_timeout or connect_timeout
    generation = _Generation()

    async def connect_with_watchdog(**options: Any) -> _Connection:
        made_at = time.monotonic()
        try:
            connection = await connect(
                target, within=timeout, connection_class=_Connection, **options
            )
        except (*DRIVER_ERRORS, ValueError) as exc:
            raise DependencyUnavailable(DATABASE, connect_cause(exc, target)) from exc
        connection.generation, connection.made_at = generation, made_at
        # For the statements that SQLAlchemy sends on a new connection.
        loop = asyncio.get_running_loop()
        connection.watchdog = loop.call_later(timeout, connection.terminate)
        return connection

    connect_args: dict[str, Any] = {
        "async_creator_fn": connect_with_watchdog,
        "prepared_statement_name_func": _unique_names(),
    }
    if transaction_pooler or target.transaction_pooler:
        del connect_args["prepared_statement_name_func"]
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

    @event.listens_for(engine.sync_engine, "handle_error")
    def leave_read_only_server(context: ExceptionContext) -> None:
        if getattr(context.original_exception, "sqlstate", None) == READ_ONLY:
            generation.end()

    @event.listens_for(engine.sync_engine, "checkout")
    def refuse_if_out_of_date(connection: Any, _record: object, _proxy: object) -> None:
        if generation.has_ended_since(connection.driver_connection.made_at):
            raise DisconnectionError  # SQLAlchemy closes it, and makes another

    return engine


def _unique_names() -> Callable[[], str]:
    """Names of prepared statements that no other client has.

    Behind a pooler in transaction mode, a client with the same name, such as another worker, would
    execute this one's statement as its own.
    """
    prefix, numbers = uuid4().hex, itertools.count()
    return lambda: f"service_{prefix}_{next(numbers):x}"


@contextmanager
def transaction(engine: Engine, settings: str) -> Iterator[Connection]:
    """A transaction that is rolled back unless committed; it begins with the statements `settings`.

    The first statement in the block sends BEGIN. The caller limits the time by `cut_after`.

    Raises DependencyUnavailable. Runs in SQLAlchemy's `greenlet_spawn`.
    """
    try:
        connection = engine.connect()
    except DRIVER_ERRORS as exc:  # of the statements that SQLAlchemy sends on a new connection
        raise unavailable(exc) from exc
    driver = driver_connection(connection)
    driver.after_begin = settings
    try:
        yield connection
    finally:
        driver.after_begin = None
        # SQLAlchemy throws away a connection that cannot roll back.
        with cut_after(driver, GIVE_UP_SECONDS), suppress(*DRIVER_ERRORS):
            connection.close()


@asynccontextmanager
async def awaited_transaction(engine: AsyncEngine, settings: str) -> AsyncIterator[AsyncConnection]:
    """A `transaction` whose statements are awaited one by one."""
    opened = transaction(engine.sync_engine, settings)
    connection = await greenlet_spawn(opened.__enter__)
    try:
        yield AsyncConnection(engine, connection)
    finally:
        await greenlet_spawn(opened.__exit__, None, None, None)


def set_locally(settings: Mapping[str, str]) -> str:
    """Statements for settings that end with the transaction. Nothing is escaped: values are fixed.

    PostgreSQL neither plans SET nor takes a snapshot for it: half the time of `set_config`.
    """
    return " ".join(f"SET LOCAL {name} = '{value}';" for name, value in settings.items())


def milliseconds(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"


def leave_server(connection: AsyncConnection) -> None:
    """Lets the engine use none of the connections that it has, for the server can only be read.

    A new connection may lead to the server that has taken over.
    """
    if connection.sync_connection:
        driver_connection(connection.sync_connection).generation.end()


def driver_connection(connection: Connection) -> _Connection:
    return connection.connection.driver_connection  # type: ignore[return-value]  # not typed


@contextmanager
def cut_after(driver: _Connection, seconds: float) -> Iterator[None]:
    """Cuts the connection if the block takes longer: a host that has vanished never answers.

    A cut, unlike a cancellation, tells the server nothing: a COMMIT that has arrived takes effect,
    and another connection can find that out.
    """
    watchdog = asyncio.get_running_loop().call_later(seconds, _cut, driver)
    try:
        yield
    finally:
        watchdog.cancel()


def _cut(driver: _Connection) -> None:
    with suppress(asyncpg.InterfaceError):  # it is closed already
        driver.terminate()

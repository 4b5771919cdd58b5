"""Core statements as the driver takes them: compiled once, run without SQLAlchemy's engine.

Measured: docs/decisions/core-statements-on-the-driver.md.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, nullcontext, suppress
from typing import Any

import asyncpg
from sqlalchemy import ClauseElement
from sqlalchemy.dialects.postgresql.asyncpg import dialect as asyncpg_dialect

from service.application.errors import DependencyUnavailable
from service.persistence.errors import DRIVER_ERRORS

Connection = asyncpg.Connection | asyncpg.pool.PoolConnectionProxy


class Statement:
    """Parameters are given by name; rows come as the driver makes them.

    `cursor`: of a query, whose rows are fetched from the cursor of this name.
    """

    def __init__(self, element: ClauseElement, *, cursor: str | None = None) -> None:
        compiled: Any = element.compile(dialect=asyncpg_dialect())  # type: ignore[no-untyped-call]  # without annotations there
        declaration = f"DECLARE {cursor} NO SCROLL CURSOR FOR " if cursor else ""
        self.text = f"{declaration}{compiled}"
        self._names: list[str] = compiled.positiontup or []

    async def rows(
        self, connection: Connection, parameters: Mapping[str, Any]
    ) -> list[asyncpg.Record]:
        rows: list[asyncpg.Record] = await connection.fetch(self.text, *self._arguments(parameters))
        return rows

    async def value(self, connection: Connection, parameters: Mapping[str, Any]) -> Any:
        return await connection.fetchval(self.text, *self._arguments(parameters))

    def _arguments(self, parameters: Mapping[str, Any]) -> list[Any]:
        return [parameters[name] for name in self._names]


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

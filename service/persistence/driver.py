# SPDX-License-Identifier: MIT
"""asyncpg's connection, with what the service needs of it."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import asyncpg
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncConnection

GENERATION_SECONDS = 1.0
CLOSE_SECONDS = 0.3
"""For the server to end a connection that is closed, before it is cut. A pool closes one by one."""


class Generation:
    """Which connections of an engine are out of date, because their server can only be read."""

    def __init__(self) -> None:
        self._ended_at = float("-inf")

    def end(self) -> None:
        """Not more often than `GENERATION_SECONDS`, as no other server may exist."""
        if time.monotonic() - self._ended_at >= GENERATION_SECONDS:
            self._ended_at = time.monotonic()

    def has_ended_since(self, moment: float) -> bool:
        return self._ended_at > moment


class DriverConnection(asyncpg.Connection):
    """Sends `after_begin`, statements, together with the next BEGIN, in one round trip.

    Refuses any other statement before it, which would run with the rights of the login.
    """

    after_begin: str | None = None
    watchdog: asyncio.TimerHandle
    generation: Generation
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

    async def close(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109  as asyncpg has it
        """Has a time limit: a server that has vanished would never let the process end."""
        with suppress(TimeoutError):
            await super().close(timeout=timeout or CLOSE_SECONDS)

    async def prepare(self, query: str, **options: Any) -> Any:
        if self.after_begin is not None:
            raise asyncpg.InterfaceError("the transaction has not begun")
        return await super().prepare(query, **options)


def leave_server(connection: AsyncConnection) -> None:
    """Lets the engine use none of the connections that it has, for the server can only be read.

    A new connection may lead to the server that has taken over.
    """
    if connection.sync_connection:
        driver_connection(connection.sync_connection).generation.end()


def driver_connection(connection: Connection) -> DriverConnection:
    return connection.connection.driver_connection  # type: ignore[return-value]  # not typed


@contextmanager
def cut_after(driver: DriverConnection, seconds: float) -> Iterator[None]:
    """Cuts the connection if the block takes longer: a host that has vanished never answers.

    A cut, unlike a cancellation, tells the server nothing: a COMMIT that has arrived takes effect,
    and another connection can find that out.
    """
    watchdog = asyncio.get_running_loop().call_later(seconds, _cut, driver)
    try:
        yield
    finally:
        watchdog.cancel()


def _cut(driver: DriverConnection) -> None:
    with suppress(asyncpg.InterfaceError):  # it is closed already
        driver.terminate()

"""Opens units of work and reads, each in a transaction as the service's role."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from service.application.errors import Overloaded
from service.persistence.engine import cut_after, driver_connection, milliseconds, transaction
from service.persistence.errors import translate_errors
from service.persistence.reader import SqlSessionReader
from service.persistence.unit_of_work import SqlUnitOfWork

SERVICE_ROLE = "session_service"

RESERVED_CONNECTIONS = 1
"""For readiness, however busy the others are."""

_KEYED_PLANS = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_sort": "off",
}
"""Makes every statement find its rows by an index, whatever the tables hold when it is planned.

The policies and the filters select the same rows. The planner takes them for independent, expects
next to no rows, and would read and sort all rows of a user who has many.
"""


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
        """The server has ended every transaction by then, if the server is still there."""
        return self.statement_timeout + self.idle_in_transaction_timeout


class Database:
    """A semaphore lets transactions wait for a connection in order; the pool alone does not."""

    def __init__(self, engine: AsyncEngine, limits: Limits) -> None:
        self._engine = engine
        self.limits = limits
        self._free = asyncio.Semaphore(limits.pool_size - RESERVED_CONNECTIONS)
        self._settings = {
            "role": SERVICE_ROLE,
            "lock_timeout": milliseconds(limits.lock_timeout),
            "statement_timeout": milliseconds(limits.statement_timeout),
            "idle_in_transaction_session_timeout": milliseconds(limits.idle_in_transaction_timeout),
            **_KEYED_PLANS,
        }

    @asynccontextmanager
    async def unit_of_work(self, acting_users: frozenset[UUID]) -> AsyncIterator[SqlUnitOfWork]:
        """Sees and writes the rows of `acting_users` alone.

        Raises Overloaded and DependencyUnavailable; the block raises TransactionFailed.
        """
        async with self._transaction(acting_users) as connection:
            yield SqlUnitOfWork(connection)

    @asynccontextmanager
    async def reader(self, acting_users: frozenset[UUID]) -> AsyncIterator[SqlSessionReader]:
        """Sees the rows of `acting_users` alone. Raises what `unit_of_work` raises."""
        async with self._transaction(acting_users) as connection:
            yield SqlSessionReader(connection)

    @asynccontextmanager
    async def _transaction(self, acting_users: frozenset[UUID]) -> AsyncIterator[AsyncConnection]:
        if not acting_users:
            raise ValueError("a transaction acts for at least one user")
        settings = self._settings | {"service.acting_users": ",".join(map(str, acting_users))}
        async with self._slot():
            with translate_errors():
                async with transaction(self._engine, settings) as connection:
                    with cut_after(driver_connection(connection), self.limits.transaction_max):
                        yield connection

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self.limits.pool_timeout):
                await self._free.acquire()
        except TimeoutError:
            raise Overloaded from None
        try:
            yield
        finally:
            self._free.release()

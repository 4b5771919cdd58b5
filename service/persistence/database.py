# SPDX-License-Identifier: MIT
"""Runs units of work and reads, each in a transaction as the service's role."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util import greenlet_spawn

from service.application.errors import Overloaded
from service.application.ports import Users
from service.persistence.committing import CLIENT_MIN_MESSAGES
from service.persistence.driver import cut_after, driver_connection
from service.persistence.errors import READS, WRITES, translate_errors
from service.persistence.outages import Outages
from service.persistence.reader import SqlSessionReader
from service.persistence.roles import SERVICE_ROLE
from service.persistence.transactions import milliseconds, set_locally, transaction
from service.persistence.unit_of_work import SqlUnitOfWork

T = TypeVar("T")

RESERVED_CONNECTIONS = 1
"""For readiness, however busy the others are."""

_KEYED_PLANS = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_sort": "off",
}
"""Makes every statement find its rows by an index, whatever the tables hold when it is planned.

The policies and the filters select the same rows, but the planner takes them for independent
conditions, expects next to no rows, and would read and sort all rows of a user who has many.
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
        """A transaction that takes longer is cut; it is enough for a slow statement and a pause."""
        return self.statement_timeout + self.idle_in_transaction_timeout


class Database:
    """A semaphore lets transactions wait for a connection in order; the pool alone does not."""

    def __init__(self, engine: AsyncEngine, limits: Limits, outages: Outages | None = None) -> None:
        self._engine = engine.sync_engine
        self._outages = outages or Outages()
        self.limits = limits
        self.waiting = 0
        """How many transactions wait for a connection."""
        self._free = asyncio.Semaphore(limits.pool_size - RESERVED_CONNECTIONS)
        settings = {
            "role": SERVICE_ROLE,
            "client_min_messages": CLIENT_MIN_MESSAGES,
            "lock_timeout": milliseconds(limits.lock_timeout),
            "statement_timeout": milliseconds(limits.statement_timeout),
            "idle_in_transaction_session_timeout": milliseconds(limits.idle_in_transaction_timeout),
            **_KEYED_PLANS,
        }
        self._settings = set_locally(settings)

    @property
    def is_writable(self) -> bool:
        """As far as is known by the last write and the last check. Asks nothing."""
        return self._outages.cause(WRITES) is None

    async def run_unit_of_work(self, acting_users: Users, work: Callable[[SqlUnitOfWork], T]) -> T:
        """Runs `work`, which sees and writes the rows of `acting_users` alone.

        Raises DependencyUnavailable, Overloaded, TransactionFailed and UserGone.
        """

        def write(connection: Connection) -> T:
            unit_of_work = SqlUnitOfWork(connection)
            result = work(unit_of_work)
            if unit_of_work.is_committed:
                self._outages.succeeded(WRITES)
            return result

        return await self._run(WRITES, acting_users, write)

    async def run_read(self, acting_users: Users, read: Callable[[SqlSessionReader], T]) -> T:
        """Runs `read`, which sees the rows of `acting_users` alone. Raises the same errors."""

        def read_rows(connection: Connection) -> T:
            result = read(SqlSessionReader(connection))
            self._outages.succeeded(READS)
            return result

        return await self._run(READS, acting_users, read_rows)

    async def _run(self, part: str, acting_users: Users, use: Callable[[Connection], T]) -> T:
        """One greenlet for the whole transaction costs less than one for each statement."""
        if not acting_users:
            raise ValueError("a transaction acts for at least one user")
        settings = f"{self._settings} {_act_for(acting_users)}"
        async with self._slot():
            return await greenlet_spawn(self._transact, part, settings, use)

    def _transact(self, part: str, settings: str, use: Callable[[Connection], T]) -> T:
        with (
            self._outages.observing(part),
            translate_errors(part),
            transaction(self._engine, settings) as connection,
            cut_after(driver_connection(connection), self.limits.transaction_max),
        ):
            return use(connection)

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        self.waiting += 1
        try:
            async with asyncio.timeout(self.limits.pool_timeout):
                await self._free.acquire()
        except TimeoutError:
            raise Overloaded from None
        finally:
            self.waiting -= 1
        try:
            yield
        finally:
            self._free.release()


def _act_for(users: Users) -> str:
    """A function, because pg_stat_statements counts each SET as another statement before 18."""
    return f"SELECT set_config('service.acting_users', '{','.join(map(str, users))}', true)"

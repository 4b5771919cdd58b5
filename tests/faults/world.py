# SPDX-License-Identifier: MIT
"""The world of a fault: users who fail their sessions, the API, PostgreSQL, relays, NATS."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from random import Random

import asyncpg

from service.persistence.outbox import TURN_LOCK
from tests.faults.load import Load
from tests.faults.outbox_watch import OutboxWatch
from tests.faults.postgres import Postgres
from tests.nats_server import NatsServer
from tests.running import TestDatabase
from tests.system.processes import Finished, Process, finished, started

PATIENCE_SECONDS = 300
"""Time limit for every wait; it passes only if something hangs."""


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await condition():  # noqa: ASYNC110  another process changes it
            await asyncio.sleep(0.02)


@dataclass
class World:
    """`random` is seeded, so that each run draws the same moments.

    `healed`: when the fault was repaired, or when the part was gone that another one replaces.
    """

    database: TestDatabase
    broker: NatsServer
    load: Load
    outbox: OutboxWatch
    pool: asyncpg.Pool
    postgres: Postgres | None
    stack: AsyncExitStack
    healed: float | None = None
    random: Random = field(default_factory=lambda: Random(22))  # noqa: S311  no secret

    async def reached(self, part: float) -> None:
        """Waits until this part of all users is through; `part` from 0 to 1."""

        async def enough() -> bool:
            return self.load.lived >= part * self.load.sessions

        await until(enough)

    async def start_relay(self, **settings: str) -> Process:
        return await self.stack.enter_async_context(
            started("relay", environment=self._environment(**settings))
        )

    async def command(self, *arguments: str) -> Finished:
        return await finished("relay", *arguments, environment=self._environment())

    def _environment(self, **settings: str) -> dict[str, str]:
        facts = {"database_url": self.database.relay_url, "nats_url": self.broker.url} | settings
        return {f"SERVICE_{name}".upper(): value for name, value in facts.items()}

    async def pending(self) -> int:
        try:
            return int(await self.pool.fetchval("SELECT count(*) FROM outbox"))
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            return -1

    async def caught_up(self) -> None:
        async def nothing_is_pending() -> bool:
            return await self.pending() == 0

        await until(nothing_is_pending)

    async def turn_is_taken(self) -> bool:
        """True if a relay holds the turn, and its connection is idle in the transaction."""
        held = """
            SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)
            WHERE locktype = 'advisory' AND granted AND datname = current_database()
                AND state = 'idle in transaction'
                AND (classid::bigint << 32) + objid::bigint = $1
        """
        return bool(await self.pool.fetchval(held, TURN_LOCK))

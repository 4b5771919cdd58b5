# SPDX-License-Identifier: MIT
"""The world of a fault: users who fail their sessions, the API, PostgreSQL, relays, NATS."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from random import Random
from time import monotonic
from uuid import UUID, uuid4

import asyncpg
import httpx2
from uuid_utils.compat import uuid7

from service.persistence.outbox import TURN_LOCK
from tests.builders import a_token, bearer
from tests.faults.postgres import Postgres
from tests.nats_server import NatsServer
from tests.running import TestDatabase
from tests.system.processes import Process, started

AT_ONCE = 10
"""Users who send requests at the same time."""

PATIENCE_SECONDS = 300
"""Time limit for every wait; it passes only if something hangs."""

# Two events before the session is failed, so that its events have an order to keep.
PLAN_AND_START = """
    WITH session AS (
        INSERT INTO sessions (user_id, id, status, session_date, started_at, sets, version,
            created_at, updated_at)
        VALUES ($1, $2, 'in_progress', now(), now(), '{12,10,NULL}', 2, now(), now())
    ), happened AS (
        INSERT INTO events (user_id, id, session_id, session_version, event_type, event_data,
            occurred_at, request_id)
        SELECT $1, gen_random_uuid(), $2, version, type, data, now(), 'a-plan'
        FROM (VALUES
            (1, 'session_planned', '{"sessionDate": "2026-11-22T09:00:00Z"}'::jsonb),
            (2, 'session_started', '{}')
        ) AS given (version, type, data)
        RETURNING user_id, id, session_version
    )
    INSERT INTO outbox (user_id, event_id)
    SELECT user_id, id FROM happened ORDER BY session_version
"""


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await condition():  # noqa: ASYNC110  another process changes it
            await asyncio.sleep(0.02)


@dataclass
class Load:
    """Users who plan, start and fail one session each, and repeat each step until it succeeds.

    `failed` counts their sessions, `refusals` the answers of the API that were not 200.
    """

    pool: asyncpg.Pool
    client: httpx2.AsyncClient
    sessions: int
    seconds: float
    failed: int = 0
    refusals: int = 0
    _begun: asyncio.Event = field(default_factory=asyncio.Event)

    def begin(self) -> None:
        self._begun.set()

    async def run(self) -> None:
        await self._begun.wait()
        begun = monotonic()
        for first in range(0, self.sessions, AT_ONCE):
            await asyncio.sleep(begun + self.seconds * first / self.sessions - monotonic())
            count = min(AT_ONCE, self.sessions - first)
            await asyncio.gather(*(self._live() for _ in range(count)))

    async def reached(self, part: float) -> None:
        """Waits until this part of all sessions has been failed; `part` from 0 to 1."""

        async def enough() -> bool:
            return self.failed >= part * self.sessions

        await until(enough)

    async def _live(self) -> None:
        user_id, session_id = uuid4(), uuid7()
        await until(lambda: self._plan_and_start(user_id, session_id))
        await until(lambda: self._fail(user_id, session_id))
        self.failed += 1

    async def _plan_and_start(self, user_id: UUID, session_id: UUID) -> bool:
        try:
            await self.pool.execute(PLAN_AND_START, user_id, session_id)
        except asyncpg.UniqueViolationError:
            pass  # an earlier attempt had committed before its connection was lost
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            return False
        return True

    async def _fail(self, user_id: UUID, session_id: UUID) -> bool:
        response = await self.client.post(
            f"/sessions/{session_id}/fail",
            headers=bearer(a_token(user_id)) | {"Idempotency-Key": str(session_id)},
            json={"reason": "shoulder pain"},
        )
        self.refusals += response.status_code != httpx2.codes.OK
        return response.status_code == httpx2.codes.OK


@dataclass
class World:
    """`random` is seeded, so that each run draws the same moments.

    `take_over`: how long no relay was active after the active one had ended, in seconds.
    """

    database: TestDatabase
    broker: NatsServer
    load: Load
    postgres: Postgres | None
    stack: AsyncExitStack
    take_over: float | None = None
    random: Random = field(default_factory=lambda: Random(22))  # noqa: S311  no secret

    async def start_relay(self, *arguments: str, **settings: str) -> Process:
        facts = {"database_url": self.database.relay_url, "nats_url": self.broker.url} | settings
        environment = {f"SERVICE_{name}".upper(): value for name, value in facts.items()}
        return await self.stack.enter_async_context(
            started("relay", *arguments, environment=environment)
        )

    async def pending(self) -> int:
        try:
            return int(await self.load.pool.fetchval("SELECT count(*) FROM outbox"))
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
        return bool(await self.load.pool.fetchval(held, TURN_LOCK))

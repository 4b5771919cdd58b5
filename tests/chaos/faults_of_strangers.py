# SPDX-License-Identifier: MIT
"""What other programs do to the service's database: they hold locks, and use up connections."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random

import asyncpg

from tests.chaos.faults_of_database import ERRORS, a_stranger
from tests.chaos.installation import Installation
from tests.chaos.nemesis import NotCaused

ROWS = 50
LOCK_ROWS = f"""
    SELECT count(*) FROM (
        SELECT FROM sessions WHERE status IN ('planned', 'in_progress')
        ORDER BY updated_at DESC LIMIT {ROWS} FOR UPDATE SKIP LOCKED
    ) AS locked
"""
"""Those that their users are about to change again."""

TABLES = ("sessions", "events", "outbox")
NAME = "a_stranger"
TERMINATE_OTHERS = f"""
    SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND datname = current_database()
        AND usename LIKE 'training%' AND application_name <> '{NAME}'
"""
CONNECTIONS_AT_ONCE = 8
PAUSE_SECONDS = 0.1


@asynccontextmanager
async def rows_locked(all_: Installation, _random: Random) -> AsyncIterator[None]:
    async with _holding(all_, LOCK_ROWS):
        yield


@asynccontextmanager
async def table_locked(all_: Installation, random: Random) -> AsyncIterator[None]:
    mode = random.choice(["SHARE", "ACCESS EXCLUSIVE"])
    async with _holding(all_, f"LOCK TABLE {random.choice(TABLES)} IN {mode} MODE"):
        yield


@asynccontextmanager
async def _holding(all_: Installation, statement: str) -> AsyncIterator[None]:
    """Raises NotCaused if the statement got no lock."""
    async with AsyncExitStack() as stack:
        try:
            connection = await stack.enter_async_context(a_stranger(all_))
            await connection.execute("BEGIN")
            count = await connection.fetchval(statement)
        except ERRORS as exc:
            raise NotCaused from exc
        if count == 0:
            raise NotCaused
        yield


@asynccontextmanager
async def connections_used_up(all_: Installation, _random: Random) -> AsyncIterator[None]:
    """A stranger takes every connection that becomes free, and ends the service's own.

    It ends them again and again: whichever of them the service gets back does not last. A
    superuser can still connect. Raises NotCaused if a connection was free at every moment.
    """
    async with AsyncExitStack() as stack:
        stranger = _Greedy(all_, stack)
        taking = asyncio.create_task(stranger.take_all())
        try:
            yield
        finally:
            stranger.has_enough.set()
            await asyncio.wait([taking])
        taking.result()
    if not stranger.had_all:
        raise NotCaused


class _Greedy:
    """`had_all`: a connection was refused after every one of the service's had been ended."""

    def __init__(self, all_: Installation, stack: AsyncExitStack) -> None:
        self._all = all_
        self._stack = stack
        self.has_enough = asyncio.Event()
        self.had_all = False

    async def take_all(self) -> None:
        """Ends by itself: on asyncio's loop, asyncpg 0.32 cannot be cancelled while it connects.

        If the cancellation comes between the connection by TCP and the request for TLS, asyncpg
        sets an exception on a future that no task awaits, and asyncio logs it as never retrieved.
        """
        tries = CONNECTIONS_AT_ONCE
        while not self.has_enough.is_set():
            ended = await self._end_others()
            got = await asyncio.gather(*(self._take() for _ in range(max(tries, ended or 0))))
            self.had_all = self.had_all or (ended == 0 and not any(got))
            tries = CONNECTIONS_AT_ONCE if all(got) else 1
            if not all(got):
                await asyncio.sleep(PAUSE_SECONDS if ended == 0 else PAUSE_SECONDS / 10)

    async def _end_others(self) -> int | None:
        """Returns how many there were; None if the database cannot be asked."""
        try:
            async with a_stranger(self._all) as connection:
                count: int = await connection.fetchval(TERMINATE_OTHERS)
        except ERRORS:
            return None
        return count

    async def _take(self) -> bool:
        try:
            connection = await asyncpg.connect(
                self._all.database.api_url, timeout=5, server_settings={"application_name": NAME}
            )
        except ERRORS:
            return False
        self._stack.callback(connection.terminate)
        return True

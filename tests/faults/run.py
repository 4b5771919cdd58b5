# SPDX-License-Identifier: MIT
"""Runs one fault on an empty database, and judges the stream."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from time import monotonic

import asyncpg

from tests.faults.postgres import Postgres
from tests.faults.scenarios import Fault
from tests.faults.verdict import Verdict, verdict
from tests.faults.world import Load, World
from tests.nats_server import a_nats_server
from tests.running import App, TestDatabase


async def run(
    fault: Fault,
    database: TestDatabase,
    app: App,
    *,
    sessions: int,
    seconds: float,
    postgres: Postgres | None = None,
) -> Verdict:
    """Fails `sessions` sessions in about `seconds`, and causes the fault meanwhile."""
    async with _world(database, app, postgres, sessions, seconds) as world:
        living = asyncio.create_task(world.load.run())
        await fault(world)
        await living
        over = monotonic()
        await world.caught_up()
        catch_up = monotonic() - over
        audit = await world.start_relay("--audit")
        assert await audit.end() == 0, audit.output
        rows = await world.load.pool.fetch("SELECT id FROM events")
        return verdict(
            (str(row["id"]) for row in rows),
            await world.broker.stored(),
            refusals=world.load.refusals,
            catch_up=catch_up,
            take_over=world.take_over,
        )


@asynccontextmanager
async def _world(
    database: TestDatabase, app: App, postgres: Postgres | None, sessions: int, seconds: float
) -> AsyncIterator[World]:
    async with (
        a_nats_server(sync="always") as broker,
        asyncpg.create_pool(database.url, min_size=1, max_size=10, init=None) as pool,
        AsyncExitStack() as stack,
    ):
        await broker.make_stream()
        load = Load(pool, app.client, sessions, seconds)
        yield World(database, broker, load, postgres, stack)

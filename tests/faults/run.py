# SPDX-License-Identifier: MIT
"""Runs one fault on an empty database, and judges all answers and the stream."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from time import monotonic

import asyncpg

from tests.faults.found import Found, judged
from tests.faults.load import Load, a_client
from tests.faults.outbox_watch import OutboxWatch
from tests.faults.postgres import Postgres
from tests.faults.scenarios import Fault
from tests.faults.world import World
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
) -> Found:
    """Fails `sessions` sessions in about `seconds`, and causes the fault meanwhile."""
    async with _world(database, app, postgres, sessions, seconds) as world:
        living = asyncio.create_task(world.load.run())
        await fault(world)
        healed = world.healed or monotonic()
        await living
        await world.caught_up()
        return await judged(
            world.load.crowd.history,
            database.url,
            stored=await world.broker.stored(),
            audit=await world.command("--audit"),
            outbox=world.outbox,
            healed=healed,
        )


@asynccontextmanager
async def _world(
    database: TestDatabase, app: App, postgres: Postgres | None, sessions: int, seconds: float
) -> AsyncIterator[World]:
    outbox = OutboxWatch(database.url)
    async with (
        a_nats_server(sync="always") as broker,
        asyncpg.create_pool(database.url, min_size=1, max_size=2, init=None) as pool,
        outbox.running(),
        AsyncExitStack() as stack,
    ):
        await broker.make_stream()
        load = Load(a_client(app), sessions, seconds)
        yield World(database, broker, load, outbox, pool, postgres, stack)

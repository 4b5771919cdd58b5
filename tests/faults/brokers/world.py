# SPDX-License-Identifier: MIT
"""The world of the faults of brokers: users, the API, two relays, and three brokers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random

from tests.chaos.disks import a_disk
from tests.chaos.lives import live
from tests.chaos.users import Crowd
from tests.faults.load import Secret, a_client
from tests.faults.outbox_watch import FIRST, WATCH_SECONDS, OutboxWatch
from tests.nats_cluster import NODES, NatsCluster, Node, a_nats_cluster
from tests.running import App, TestDatabase, a_connection
from tests.system.processes import Finished, Process, finished, started

ACTIVE = '"state": "active"'
STANDBY = '"state": "standby"'
DISK_BYTES = 48 * 2**20
PATIENCE_SECONDS = 120
LAST = "SELECT coalesce(max(position), 0) FROM outbox"


@dataclass
class World:
    """What a fault may break, and what is measured meanwhile."""

    database: TestDatabase
    cluster: NatsCluster
    crowd: Crowd
    outbox: OutboxWatch
    relays: list[Process] = field(default_factory=list)

    @property
    def relay_environment(self) -> dict[str, str]:
        return {
            "SERVICE_DATABASE_URL": self.database.relay_url,
            "SERVICE_NATS_URL": self.cluster.url,
            "SERVICE_NATS_STREAM_REPLICAS": str(NODES),
        }

    async def command(self, *arguments: str) -> Finished:
        return await finished("relay", *arguments, environment=self.relay_environment)

    def near_node(self) -> Node:
        """The node that the active relay uses; the standby uses the same one or none."""
        return next(node for node in self.cluster.nodes if node.front.connections)

    def far_nodes(self) -> list[Node]:
        near = self.near_node()
        return [node for node in self.cluster.nodes if node is not near]

    async def moved_on(self) -> None:
        """Waits until the events are published that wait now."""
        async with asyncio.timeout(PATIENCE_SECONDS), a_connection(self.database.url) as connection:
            last = await connection.fetchval(LAST)
            while 0 < await connection.fetchval(FIRST) <= last:  # noqa: ASYNC110  as below
                await asyncio.sleep(WATCH_SECONDS)

    async def drained(self) -> None:
        """Waits until every event is published."""
        async with asyncio.timeout(PATIENCE_SECONDS), a_connection(self.database.url) as connection:
            while await connection.fetchval(LAST):  # noqa: ASYNC110  the relays change it
                await asyncio.sleep(WATCH_SECONDS)


@asynccontextmanager
async def a_world(database: TestDatabase, app: App, place: Path) -> AsyncIterator[World]:
    """`place`: an empty directory."""
    client = a_client(app)
    crowd = Crowd(client, Random(1), Secret, live, think_seconds=0.1)  # noqa: S311  no secret
    async with AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(
            a_nats_cluster(place, disk=partial(a_disk, size=DISK_BYTES))
        )
        await cluster.make_stream()
        world = World(database, cluster, crowd, OutboxWatch(database.url))
        await stack.enter_async_context(world.outbox.running())
        for state in (ACTIVE, STANDBY):
            relay = await stack.enter_async_context(
                started("relay", environment=world.relay_environment)
            )
            await relay.line(state)
            world.relays.append(relay)
        yield world
        client.close()

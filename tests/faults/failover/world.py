# SPDX-License-Identifier: MIT
"""The world of a failover: users with keys, the API, a relay, NATS, and servers of PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

import asyncpg

from tests.chaos.history import READS, Known
from tests.chaos.http_client import Client
from tests.chaos.link import Link, a_link
from tests.chaos.nemesis import Span
from tests.chaos.users import Crowd
from tests.faults.failover.life import live
from tests.faults.postgres import Postgres
from tests.faults.world import until
from tests.http.issuer import an_es256_key, issuers
from tests.nats_server import NatsServer, a_nats_server
from tests.running import App, Cluster, TestDatabase, a_connection
from tests.standby import DATABASE, copy
from tests.system.processes import Process, a_public_directory, a_service, started

ALL_STANDBYS = "ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()"
IS_SYNCHRONOUS = "SELECT count(*) FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum')"
USERS = 20
SEED = 17


@dataclass
class World:
    """`link`: leads to the primary; a standby and backups use it. `span`: of the fault.

    `crashed`: when the first primary was gone. `primary` becomes the server that has taken over.
    """

    place: Path
    primary: Postgres
    link: Link
    broker: NatsServer
    stack: AsyncExitStack
    crowd: Crowd
    span: Span
    crashed: float = 0.0
    _living: asyncio.Task[None] = field(init=False)

    @property
    def acknowledged(self) -> int:
        """How many commands were."""
        return sum(
            each.known is Known.DONE and each.verb not in READS for each in self.crowd.history
        )

    async def reached(self, more: int) -> None:
        """Waits until so many more commands are acknowledged."""
        goal = self.acknowledged + more

        async def enough() -> bool:
            return self.acknowledged >= goal

        await until(enough)

    async def published(self, more: int) -> None:
        """Waits until so many more events are in the stream."""
        goal = await self.broker.count() + more

        async def enough() -> bool:
            return await self.broker.count() >= goal

        await until(enough)

    async def copied(self, name: str, *, is_standby: bool) -> Path:
        """The home of a copy of the primary's data, made while it serves."""
        home = self.place / name
        port = self.link.place[1]
        await asyncio.to_thread(copy, self.primary.server, port, home, is_standby=is_standby)
        return home

    async def a_standby(self, *, synchronous: bool) -> Postgres:
        """A streaming standby; if it is synchronous, every COMMIT waits for it from now on."""
        standby = Postgres(await self.copied("standby", is_standby=True))
        await self.started(standby)
        if synchronous:
            await self.primary.cluster.execute(*ALL_STANDBYS)
            await until(lambda: is_synchronous(self.primary))
        return standby

    async def started(self, server: Postgres) -> None:
        await asyncio.to_thread(server.start)
        self.stack.callback(server.stop)

    def relay_environment(self, *servers: Postgres) -> dict[str, str]:
        cluster = self.primary.cluster
        return {
            "SERVICE_DATABASE_URL": url_of(servers or [self.primary], cluster.relay_role),
            "SERVICE_NATS_URL": self.broker.url,
        }

    async def start_relay(self, *arguments: str, servers: Sequence[Postgres] = ()) -> Process:
        environment = self.relay_environment(*servers)
        return await self.stack.enter_async_context(
            started("relay", *arguments, environment=environment)
        )

    async def start_users(self, *servers: Postgres) -> None:
        """Starts API and relay with a URL of these servers, and then the users."""
        key = an_es256_key("gym")
        issuer = (await self.stack.enter_async_context(issuers()))(key)
        api = a_service(
            url_of(servers, self.primary.cluster.api_role),
            jwks_url=issuer.url,
        )
        _, app = await self.stack.enter_async_context(api)
        await self.start_relay(servers=servers)
        self.crowd.client, self.crowd.signing_key = _client(app), lambda: key
        self._living = asyncio.create_task(self.crowd.live(USERS))

    async def ended(self) -> None:
        """Waits until the users have ended what they were doing."""
        self.crowd.ends.set()
        await self._living
        self.crowd.client.close()


def url_of(servers: Sequence[Postgres], login: str) -> str:
    """As docs/configuration.md advises for several servers."""
    password = servers[0].cluster.password
    places = ",".join(f"127.0.0.1:{each.port}" for each in servers)
    query = "?target_session_attrs=read-write" if len(servers) > 1 else ""
    return f"postgresql://{login}:{password}@{places}/{DATABASE}{query}"


def _client(app: App) -> Client:
    place = urlsplit(app.url)
    return Client(str(place.hostname), int(place.port or 0))


async def is_synchronous(server: Postgres) -> bool:
    async with connected(server) as database:
        return bool(await database.value(IS_SYNCHRONOUS))


async def is_empty(database: TestDatabase) -> bool:
    """Is the queue of the relay?"""
    return not await database.value("SELECT count(*) FROM outbox")


@asynccontextmanager
async def connected(server: Postgres) -> AsyncIterator[TestDatabase]:
    async with a_connection(server.cluster.url(DATABASE)) as connection:
        yield TestDatabase(server.cluster, DATABASE, connection)


@asynccontextmanager
async def a_world(fault: str) -> AsyncIterator[World]:
    """One server with a migrated database, a link to it, and a broker that keeps what it has."""
    random = Random(SEED)  # noqa: S311  no secret
    async with AsyncExitStack() as stack:
        place = stack.enter_context(a_public_directory(on_disk=True))
        primary = Postgres(place / "primary")
        await asyncio.to_thread(primary.start)
        stack.callback(primary.stop)
        await _migrate(primary.cluster)
        link = await stack.enter_async_context(
            a_link("to the primary", ("127.0.0.1", primary.port), random)
        )
        broker = await stack.enter_async_context(a_nats_server(sync="always"))
        await broker.make_stream()
        crowd = Crowd(Client("", 0), random, lambda: an_es256_key("none"), live, think_seconds=0.1)
        yield World(place, primary, link, broker, stack, crowd, Span(fault, 0))


async def _migrate(cluster: Cluster) -> None:
    await cluster.make_logins()
    await cluster.create_database(DATABASE)
    await asyncio.to_thread(cluster.migrate, DATABASE)


async def answers(server: Postgres) -> bool:
    """Does it accept writes?"""
    try:
        async with a_connection(server.cluster.admin_url) as connection:
            return bool(await connection.fetchval("SELECT NOT pg_is_in_recovery()"))
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False

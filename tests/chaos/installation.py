# SPDX-License-Identifier: MIT
"""The whole system on this machine; every connection between two parts runs through a link."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

from tests.chaos.balancer import a_balancer, is_ready
from tests.chaos.disks import Disk, a_disk
from tests.chaos.link import Link, a_link
from tests.chaos.parts import Part
from tests.chaos.time_machine import Clock, a_clock
from tests.faults.postgres import Postgres, a_migrated_database
from tests.haproxy.balancer import HOSTS
from tests.http.issuer import Issuer, SigningKey, an_es256_key, issuers
from tests.nats_server import NatsServer
from tests.running import TestDatabase, eventually
from tests.system.compose import SERVICES
from tests.system.processes import free_port, serve_environment

WORKERS = 2
NOTICE = "SERVICE_SHUTDOWN_NOTICE_SECONDS"
USER_QUEUE_MAX = "SERVICE_USER_QUEUE_MAX"
"""On one replica 1, so that some of the commands sent twice at once are answered with 429."""

OPTIONS = {"max_connections": "70", "max_wal_size": "128MB", "min_wal_size": "32MB"}
DISK_BYTES = 1536 * 2**20


@dataclass
class Installation:
    """`place`: where clients connect. `clock`: of the first replica; None without libfaketime."""

    postgres: Postgres
    postgres_disk: Disk
    database: TestDatabase
    broker: NatsServer
    broker_disk: Disk
    issuer: Issuer
    key: SigningKey
    clock: Clock | None
    links: dict[str, Link] = field(default_factory=dict)
    replicas: list[Part] = field(default_factory=list)
    relays: list[Part] = field(default_factory=list)
    place: tuple[str, int] = ("", 0)

    @property
    def parts(self) -> list[Part]:
        return [*self.replicas, *self.relays]


@asynccontextmanager
async def an_installation(random: Random, place: Path) -> AsyncIterator[Installation]:
    """`place`: an empty directory that every user may enter."""
    async with AsyncExitStack() as stack:
        postgres_disk = stack.enter_context(a_disk(place / "postgres", DISK_BYTES))
        postgres = Postgres(postgres_disk.place / "home", OPTIONS)
        await asyncio.to_thread(postgres.start)
        stack.callback(postgres.stop)
        database = await stack.enter_async_context(a_migrated_database(postgres.cluster))
        broker_disk = stack.enter_context(a_disk(place / "nats", DISK_BYTES))
        broker = NatsServer(broker_disk.place, free_port(), sync="always")
        stack.push_async_callback(broker.stop)
        await broker.start()
        await broker.make_stream()
        key = an_es256_key("first")
        new_issuer = await stack.enter_async_context(issuers())
        installation = Installation(
            postgres, postgres_disk, database, broker, broker_disk, new_issuer(key), key,
            a_clock(place / "clock"),
        )  # fmt: skip
        await _Plan(installation, stack, random).start()
        yield installation


class _Plan:
    """Connects the parts by links, and starts them."""

    def __init__(self, installation: Installation, stack: AsyncExitStack, random: Random) -> None:
        self._all = installation
        self._stack = stack
        self._random = random

    async def start(self) -> None:
        ports = {name: free_port() for name in ("clients", "metrics", "api", "names")}
        for number, host in enumerate(HOSTS, start=1):
            await self._start_replica(f"replica-{number}", (host, ports["api"]))
        for number in (1, 2):
            await self._start_relay(f"relay-{number}")
        balancer = await self._stack.enter_async_context(a_balancer(ports))
        link = await self._link("clients to balancer", balancer)
        self._all.place = link.place
        for part in self._all.replicas:
            await eventually(partial(is_ready, part.place or link.place))
        await eventually(partial(is_ready, link.place))

    async def _link(
        self, name: str, target: tuple[str, int], *, place: tuple[str, int] = ("127.0.0.1", 0)
    ) -> Link:
        link = await self._stack.enter_async_context(
            a_link(name, target, self._random, place=place)
        )
        self._all.links[name] = link
        return link

    async def _start_replica(self, name: str, place: tuple[str, int]) -> None:
        port = free_port()
        await self._link(f"balancer to {name}", ("127.0.0.1", port), place=place)
        keys = await self._link(f"{name} to issuer", _place(self._all.issuer.url))
        environment = serve_environment(
            await self._database_url(name, self._all.database.api_url),
            port=str(port),
            workers=str(WORKERS),
            jwks_url=_at(self._all.issuer.url, keys),
            log_level="warning",
        )
        environment[NOTICE] = SERVICES["api"]["environment"][NOTICE]
        if name.endswith("2"):
            environment[USER_QUEUE_MAX] = "1"
        if self._all.clock and name.endswith("1"):
            environment |= self._all.clock.environment
        part = Part(name, "serve", environment=environment, place=("127.0.0.1", port))
        self._all.replicas.append(part)
        await self._run(part)

    async def _start_relay(self, name: str) -> None:
        broker = await self._link(f"{name} to broker", ("127.0.0.1", self._all.broker.port))
        environment = {
            "SERVICE_DATABASE_URL": await self._database_url(name, self._all.database.relay_url),
            "SERVICE_NATS_URL": _at(self._all.broker.url, broker),
            "SERVICE_LOG_LEVEL": "warning",
        }
        part = Part(name, "relay", environment=environment)
        self._all.relays.append(part)
        await self._run(part)

    async def _database_url(self, name: str, url: str) -> str:
        link = await self._link(f"{name} to database", ("127.0.0.1", self._all.postgres.port))
        return _at(url, link)

    async def _run(self, part: Part) -> None:
        await self._stack.enter_async_context(part.supervised())


def _place(url: str) -> tuple[str, int]:
    found = urlsplit(url)
    return str(found.hostname), int(found.port or 0)


def _at(url: str, link: Link) -> str:
    """The URL, but leading through the link."""
    found = urlsplit(url)
    login = found.netloc.rpartition("@")[0]
    host, port = link.place
    return found._replace(netloc=f"{login}@{host}:{port}" if login else f"{host}:{port}").geturl()

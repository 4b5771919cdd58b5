# SPDX-License-Identifier: MIT
"""The whole system on this machine, scraped: replicas, relays, PostgreSQL, NATS, an issuer."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import httpx2

from tests.faults.postgres import Postgres, a_migrated_database, a_postgres
from tests.http.issuer import Issuer, SigningKey, an_es256_key, an_issuer
from tests.nats_server import NatsServer, a_nats_server
from tests.prometheus.server import Prometheus, a_prometheus
from tests.running import NO_AUTHORITIES
from tests.system.processes import Process, free_port, listening_url, started

REPLICAS = 2
WORKERS = 2
RELAYS = 2


@dataclass(frozen=True)
class Stack:
    """`replicas`: clients, one for each replica of the API."""

    prometheus: Prometheus
    postgres: Postgres
    nats: NatsServer
    issuer: Issuer
    key: SigningKey
    replicas: list[httpx2.AsyncClient]
    apis: list[Process]
    relays: list[Process]


@asynccontextmanager
async def a_stack(**prometheus: str) -> AsyncIterator[Stack]:
    """`prometheus`: how often it scrapes and evaluates."""
    key = an_es256_key("a-key")
    async with AsyncExitStack() as stack:
        postgres = stack.enter_context(a_postgres())
        database = await stack.enter_async_context(a_migrated_database(postgres.cluster))
        nats = await stack.enter_async_context(a_nats_server(sync="always"))
        issuer = await stack.enter_async_context(an_issuer(key))
        api = {"database_url": database.api_url, "jwks_url": issuer.url, "port": "0"}
        apis = await _several(REPLICAS, stack, "serve", **api, workers=str(WORKERS))
        relay = {"database_url": database.relay_url, "nats_url": nats.url}
        relays = await _several(RELAYS, stack, "relay", "--ensure-stream", **relay)
        targets = {"api": _hosts(apis), "relay": _hosts(relays)}
        scraping = await stack.enter_async_context(a_prometheus(targets, **prometheus))
        clients = [_client(await listening_url(each.process, workers=WORKERS)) for each in apis]
        yield Stack(
            scraping,
            postgres,
            nats,
            issuer,
            key,
            [await stack.enter_async_context(client) for client in clients],
            [each.process for each in apis],
            [each.process for each in relays],
        )


@dataclass(frozen=True)
class _Scraped:
    process: Process
    port: int


async def _several(
    count: int, stack: AsyncExitStack, *arguments: str, **settings: str
) -> list[_Scraped]:
    return [await stack.enter_async_context(_scraped(*arguments, **settings)) for _ in range(count)]


@asynccontextmanager
async def _scraped(*arguments: str, **settings: str) -> AsyncIterator[_Scraped]:
    """A process of the service, with a port for Prometheus."""
    facts = settings | {"metrics_port": str(port := free_port())}
    environment = {f"SERVICE_{name}".upper(): value for name, value in facts.items()}
    async with started(*arguments, environment=environment) as process:
        yield _Scraped(process, port)


def _hosts(scraped: list[_Scraped]) -> list[str]:
    return [f"127.0.0.1:{each.port}" for each in scraped]


def _client(url: str) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(base_url=url, verify=NO_AUTHORITIES, timeout=60)

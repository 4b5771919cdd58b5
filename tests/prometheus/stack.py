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
        ports = {"api": [], "relay": []}  # type: dict[str, list[int]]
        apis = [
            await stack.enter_async_context(
                _scraped(
                    "serve",
                    ports=ports["api"],
                    database_url=database.api_url,
                    port="0",
                    workers=str(WORKERS),
                    jwks_url=issuer.url,
                )
            )
            for _ in range(REPLICAS)
        ]
        relays = [
            await stack.enter_async_context(
                _scraped(
                    "relay",
                    "--ensure-stream",
                    ports=ports["relay"],
                    database_url=database.relay_url,
                    nats_url=nats.url,
                )
            )
            for _ in range(RELAYS)
        ]
        targets = {job: [f"127.0.0.1:{port}" for port in of_job] for job, of_job in ports.items()}
        scraping = await stack.enter_async_context(a_prometheus(targets, **prometheus))
        replicas = [
            await stack.enter_async_context(_client(await listening_url(api))) for api in apis
        ]
        yield Stack(scraping, postgres, nats, issuer, key, replicas, apis, relays)


@asynccontextmanager
async def _scraped(*arguments: str, ports: list[int], **settings: str) -> AsyncIterator[Process]:
    """A process of the service; appends its port for Prometheus to `ports`."""
    ports.append(free_port())
    facts = settings | {"metrics_port": str(ports[-1])}
    environment = {f"SERVICE_{name}".upper(): value for name, value in facts.items()}
    async with started(*arguments, environment=environment) as process:
        yield process


def _client(url: str) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(base_url=url, verify=NO_AUTHORITIES, timeout=60)

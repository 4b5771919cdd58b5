# SPDX-License-Identifier: MIT
"""The stack of docker-compose.yml, balancer aside: its commands, run without Docker."""

import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import httpx2
import nats
from nats.aio.client import Client
from nats.aio.msg import Msg

from service.dev import postgres as embedded
from tests import nats_server
from tests.builders import bearer
from tests.conformance import HELD
from tests.running import Cluster, TestDatabase, eventually
from tests.system.compose import CONFIGS, ENTRYPOINT, HEALTH_CHECK, IMAGE_ENVIRONMENT, SERVICES
from tests.system.processes import (
    PATIENCE_SECONDS,
    a_public_directory,
    finished,
    free_port,
    listening_url,
    started,
)

_, *RELAY_CHECK = SERVICES["relay"]["healthcheck"]["test"]


async def test_the_stack_fails_a_session_and_its_event_is_in_the_stream() -> None:
    async with _postgres() as database, _nats() as nats_url:
        migration = await finished(
            *SERVICES["migrate"]["command"],
            command=ENTRYPOINT,
            environment=_environment("migrate", database),
        )
        assert migration.code == 0, migration.err
        session = await database.a_session()

        environment = _environment("api", database)
        async with _api(environment) as client, _relays(database, nats_url) as relays:
            token = await finished("token", "--user", str(session.user_id), environment=environment)
            client.headers |= bearer(token.out.strip())
            answers = [await client.post(f"/sessions/{session.id}/fail") for _ in range(2)]
            ready = await client.get("/readyz")
            health = await _health(HEALTH_CHECK, SERVICE_PORT=client.base_url.port)
            for port in relays:
                await eventually(partial(_is_healthy, port))
            subject = f"training.session.v1.{session.id}.{session.version + 1}.failed"
            message = await _next_message(nats_url, subject)

        [event] = await database.events()

    assert [answer.status_code for answer in answers] == [200, 409]
    assert ready.status_code == 200
    assert health == 0
    assert message.headers
    assert message.headers["ce-id"] == str(event["id"])
    assert json.loads(message.data)["sessionId"] == str(session.id)


async def test_the_health_check_fails_where_nothing_listens() -> None:
    assert await _health(HEALTH_CHECK, SERVICE_PORT=free_port()) != 0
    assert await _health(RELAY_CHECK, SERVICE_METRICS_PORT=free_port()) != 0


async def _health(command: Sequence[str], **ports: object) -> int:
    _, *arguments = command
    environment = IMAGE_ENVIRONMENT | {name: str(port) for name, port in ports.items()}
    done = await finished(*arguments, command=[sys.executable], environment=environment)
    return done.code


async def _is_healthy(relay: int) -> bool:
    return await _health(RELAY_CHECK, SERVICE_METRICS_PORT=relay) == 0


@asynccontextmanager
async def _postgres() -> AsyncIterator[TestDatabase]:
    """A server in place of the service `postgres`, on a free port."""
    given = SERVICES["postgres"]["environment"]
    with _server(given["POSTGRES_PASSWORD"]) as cluster:
        await cluster.create_database(given["POSTGRES_DB"])
        connection = await asyncpg.connect(cluster.url(given["POSTGRES_DB"]))
        try:
            for script in _scripts_of_the_first_start():
                await connection.execute(script)
            yield TestDatabase(cluster, given["POSTGRES_DB"], connection)
        finally:
            await connection.close()


@contextmanager
def _server(password: str) -> Iterator[Cluster]:
    port = free_port()
    options = {"listen_addresses": "127.0.0.1", "port": str(port), "fsync": "off"}
    with a_public_directory() as place:
        password_file = place / "password"
        password_file.write_text(password)
        initdb = ["-A", "scram-sha-256", "--pwfile", str(password_file)]
        with embedded.running(place / "server", options, initdb=initdb):
            yield Cluster(f"postgresql://postgres:{password}@127.0.0.1:{port}/postgres")


def _scripts_of_the_first_start() -> list[str]:
    return [
        CONFIGS[mounted["source"]]
        for mounted in SERVICES["postgres"]["configs"]
        if mounted["target"].startswith("/docker-entrypoint-initdb.d/")
    ]


@asynccontextmanager
async def _nats() -> AsyncIterator[str]:
    """A server in place of the service `nats`, on free ports; returns the URL for clients."""
    port, monitoring = free_port(), free_port()
    with tempfile.TemporaryDirectory(prefix="nats-") as place:
        [flag, _] = SERVICES["nats"]["command"]
        config = Path(place) / "nats.conf"
        config.write_text(
            CONFIGS["nats"]
            .replace("port: 4222", f"listen: 127.0.0.1:{port}")
            .replace("http: 8222", f"http: 127.0.0.1:{monitoring}")
            .replace("store_dir: /data", f"store_dir: {place}")
        )
        given = {name: str(value) for name, value in SERVICES["nats"]["environment"].items()}
        command = [nats_server.binary()]
        async with started(flag, str(config), command=command, environment=given) as process:
            await process.line("Server is ready")
            async with httpx2.AsyncClient(timeout=PATIENCE_SECONDS) as client:
                path = urlsplit(SERVICES["nats"]["healthcheck"]["test"][-1]).path
                health = await client.get(f"http://127.0.0.1:{monitoring}{path}")
            assert health.status_code == 200
            url = SERVICES["relay"]["environment"]["SERVICE_NATS_URL"]
            yield url.replace("@nats:4222", f"@127.0.0.1:{port}")


@asynccontextmanager
async def _relays(database: TestDatabase, nats_url: str) -> AsyncIterator[list[int]]:
    """The ports of their probes."""
    environment = _environment("relay", database) | {"SERVICE_NATS_URL": nats_url}
    command = SERVICES["relay"]["command"]
    async with AsyncExitStack() as stack:
        ports = [free_port() for _ in range(SERVICES["relay"]["deploy"]["replicas"])]
        for port in ports:
            own = environment | {"SERVICE_METRICS_PORT": str(port)}
            relay = started(*command, command=ENTRYPOINT, environment=own)
            await stack.enter_async_context(relay)
        yield ports


async def _next_message(url: str, subject: str) -> Msg:
    """Waits for the first message with this subject."""
    client = await nats.connect(url)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await eventually(lambda: _has_stream(client))
            subscription = await client.jetstream(timeout=PATIENCE_SECONDS).subscribe(subject)
            return await subscription.next_msg(timeout=PATIENCE_SECONDS)
    finally:
        await client.close()


async def _has_stream(client: Client) -> bool:
    return bool(await client.jetstream(timeout=PATIENCE_SECONDS).streams_info())


def _environment(name: str, database: TestDatabase) -> dict[str, str]:
    """The environment of a service, with the hosts and ports of this machine."""
    environment: dict[str, str] = IMAGE_ENVIRONMENT | SERVICES[name]["environment"]
    here = urlsplit(database.url)
    url = environment["SERVICE_DATABASE_URL"].replace(
        "@postgres:5432/", f"@{here.hostname}:{here.port}/"
    )
    return environment | {
        "SERVICE_DATABASE_URL": url,
        "SERVICE_HOST": "127.0.0.1",
        "SERVICE_PORT": "0",
        "SERVICE_METRICS_PORT": "0",
        "SERVICE_METRICS_HOST": "127.0.0.1",
    }


@asynccontextmanager
async def _api(environment: dict[str, str]) -> AsyncIterator[httpx2.AsyncClient]:
    command = SERVICES["api"]["command"]
    async with started(*command, command=ENTRYPOINT, environment=environment) as process:
        url = await listening_url(process)
        async with httpx2.AsyncClient(
            base_url=url, timeout=PATIENCE_SECONDS, event_hooks=HELD
        ) as client:
            yield client

# SPDX-License-Identifier: MIT
"""The service through a real PgBouncer in transaction mode.

`make engines` runs these tests; the suite does not, because PgBouncer must be installed first.
"""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from service.bootstrap.check import running
from tests.builders import a_session
from tests.engines.programs import program
from tests.nats_server import a_nats_server
from tests.running import App, Cluster, TestDatabase, eventually, running_app, test_settings
from tests.system.processes import a_public_directory, a_service, free_port, started

SERVER_CONNECTIONS = 4
"""Fewer than the pools of the replicas hold, so that the replicas take turns on each of them."""

CONFIGURATION = """
[databases]
* = host={host} port={server_port}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {users}
pool_mode = transaction
default_pool_size = {server_connections}
"""

STATE = """
    SELECT current_user::text, coalesce(current_setting('service.acting_users', true), ''),
        (SELECT count(*) FROM pg_prepared_statements WHERE name <> '')
"""


@pytest.fixture
async def pooler(cluster: Cluster) -> AsyncIterator[str]:
    """The host and port of a pooler of the server."""
    port = free_port()
    with a_public_directory() as home:
        users = home / "users"
        logins = (cluster.api_role, cluster.relay_role)
        users.write_text("".join(f'"{login}" "{cluster.password}"\n' for login in logins))
        given = urlsplit(cluster.admin_url)
        [host] = parse_qs(given.query).get("host", [given.hostname or ""])
        configuration = home / "pgbouncer.ini"
        configuration.write_text(
            CONFIGURATION.format(
                host=host,
                server_port=given.port or 5432,
                port=port,
                users=users,
                server_connections=SERVER_CONNECTIONS,
            )
        )
        as_nobody = ["-u", "nobody"] if os.geteuid() == 0 else []
        command = [program("pgbouncer"), *as_nobody, str(configuration)]
        async with started(command=command) as process:
            await process.line("process up")
            yield f"127.0.0.1:{port}"


@pytest.fixture
def pooled_url(pooler: str, database: TestDatabase) -> str:
    """The URL of the database through the pooler, for the login of the API."""
    return f"postgresql://{database.cluster.api_role}@{pooler}/{database.name}"


@pytest.fixture
async def replicas(pooled_url: str) -> AsyncIterator[list[App]]:
    settings = test_settings(database_url=pooled_url, database_transaction_pooler=True)
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(running_app(settings)) for _ in range(2)]


async def test_two_replicas_share_few_server_connections(
    replicas: list[App], database: TestDatabase
) -> None:
    sessions = [a_session() for _ in range(400)]
    await database.insert(*sessions)

    calls = [
        call
        for number, session in enumerate(sessions)
        for app in replicas
        for call in (
            app.fail(session, reason="knee", headers={"Idempotency-Key": f"retry-{number}"}),
            app.get(session),
        )
    ]
    answers = await asyncio.gather(*calls)

    assert Counter(answer.status_code for answer in answers) == {200: len(calls)}
    assert len(await database.events()) == len(await database.outbox()) == len(sessions)
    assert await _server_connections(database) <= SERVER_CONNECTIONS


async def test_leaves_no_role_no_users_and_no_prepared_statement_on_a_server_connection(
    replicas: list[App], pooled_url: str, database: TestDatabase
) -> None:
    sessions = [a_session() for _ in range(100)]
    await database.insert(*sessions)
    await asyncio.gather(*[app.fail(session) for session in sessions for app in replicas])

    async with AsyncExitStack() as stack:
        found = [
            await stack.enter_async_context(_state_of_a_server_connection(pooled_url))
            for _ in range(SERVER_CONNECTIONS)
        ]

    assert set(found) == {(database.cluster.api_role, "", 0)}


async def test_two_relays_publish_every_event(
    replicas: list[App], pooler: str, database: TestDatabase
) -> None:
    sessions = [a_session() for _ in range(50)]
    await database.insert(*sessions)
    login = database.cluster.relay_role
    async with a_nats_server() as broker, AsyncExitStack() as stack:
        await broker.make_stream()
        environment = {
            "SERVICE_DATABASE_URL": f"postgresql://{login}@{pooler}/{database.name}",
            "SERVICE_DATABASE_TRANSACTION_POOLER": "true",
            "SERVICE_NATS_URL": broker.url,
        }
        for _ in range(2):
            await stack.enter_async_context(started("relay", environment=environment))
        await asyncio.gather(*[replicas[0].fail(session) for session in sessions])

        async def is_empty() -> bool:
            return await database.outbox() == []

        await eventually(is_empty)
        assert await broker.count() == len(sessions)


async def test_readyz_returns_200_through_the_pooler(replicas: list[App]) -> None:
    assert (await replicas[0].client.get("/readyz")).status_code == 200


@pytest.mark.parametrize(("is_set", "result"), [(True, "ok"), (False, "not ok")])
async def test_check_finds_that_the_setting_for_the_pooler_is_missing(
    pooled_url: str, is_set: bool, result: str
) -> None:
    settings = test_settings(database_url=pooled_url, database_transaction_pooler=is_set)

    found = {each.check: each.result for each in await running.look(settings, None)}

    assert found["pooler"] == result


@asynccontextmanager
async def _state_of_a_server_connection(url: str) -> AsyncIterator[tuple[Any, ...]]:
    """The role, the acting users and the number of prepared statements.

    The connection is in use until the block ends, so that the next one is another.
    """
    connection = await asyncpg.connect(url, statement_cache_size=0)
    async with connection.transaction():
        yield tuple(*await connection.fetch(STATE))
    await connection.close()


async def _server_connections(database: TestDatabase) -> int:
    count: int = await database.value(
        "SELECT count(*) FROM pg_stat_activity WHERE usename = $1", database.cluster.api_role
    )
    return count


async def test_answers_503_and_names_the_setting_if_it_is_missing(
    pooled_url: str, database: TestDatabase
) -> None:
    """The clients of the pooler miss their prepared statements on each other's connections."""
    sessions = [a_session() for _ in range(200)]
    await database.insert(*sessions)
    async with AsyncExitStack() as stack:
        replicas = [await stack.enter_async_context(a_service(pooled_url)) for _ in range(2)]
        calls = [
            call
            for session in sessions
            for _, app in replicas
            for call in (app.fail(session), app.get(session))
        ]
        answers = await asyncio.gather(*calls)
        [ready, _] = [await app.client.get("/readyz") for _, app in replicas]
        lines = [await process.line("unavailable") for process, _ in replicas]

    assert {answer.status_code for answer in answers} <= {200, 409, 503}
    assert any(answer.status_code == 503 for answer in answers)
    assert len(await database.events()) == len(await database.outbox()) <= len(sessions)
    assert ready.status_code == 503
    assert all("SERVICE_DATABASE_TRANSACTION_POOLER=true" in line for line in lines)

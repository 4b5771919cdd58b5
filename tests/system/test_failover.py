# SPDX-License-Identifier: MIT
"""The service follows a failover: a standby is promoted, and the same process goes on."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from service.domain.session import Session
from tests.nats_server import a_nats_server
from tests.running import App, Cluster, TestDatabase, eventually, running_app, test_settings
from tests.standby import DATABASE, Pair, a_pair
from tests.system.processes import started

MAKE_READ_ONLY = "ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()"
IS_READ_ONLY = "SHOW default_transaction_read_only"
CONNECTIONS = "SELECT count(*) FROM pg_stat_activity WHERE usename = $1"


@pytest.fixture
def pair() -> Iterator[Pair]:
    with a_pair() as pair:
        yield pair


@asynccontextmanager
async def connected(cluster: Cluster) -> AsyncIterator[TestDatabase]:
    connection = await asyncpg.connect(cluster.url(DATABASE))
    try:
        yield TestDatabase(cluster, DATABASE, connection)
    finally:
        connection.terminate()


@asynccontextmanager
async def the_service(pair: Pair, **settings: float) -> AsyncIterator[App]:
    """Its check at the start is over: else a later probe could share that."""
    url = pair.url(query="target_session_attrs=read-write")
    async with running_app(test_settings(database_url=url, **settings)) as app:
        assert await readiness(app) == 200
        yield app


async def readiness(app: App) -> int:
    return (await app.client.get("/readyz")).status_code


async def test_follows_the_promotion_of_a_standby_after_the_primary_has_stopped(
    pair: Pair,
) -> None:
    async with (
        connected(pair.standby) as standby,
        the_service(pair, command_timeout_seconds=1) as app,
    ):
        async with connected(pair.primary) as primary:
            before, after = await primary.a_session(), await primary.a_session()
            await eventually(lambda: fails(app, before))
            await pair.replicated(primary, standby)
        await pair.stop_primary()

        assert (await app.fail(after)).status_code == 503
        assert await readiness(app) == 503
        await pair.promote()

        await eventually(lambda: fails(app, after))
        assert await readiness(app) == 200
        statuses = [(await standby.row(session))["status"] for session in (before, after)]
        assert statuses == ["failed", "failed"]


async def test_leaves_a_server_that_can_only_be_read_after_one_refused_command(
    pair: Pair,
) -> None:
    """The old primary goes on, fenced: all connections to it are dropped at the first refusal."""
    async with (
        connected(pair.standby) as standby,
        connected(pair.primary) as primary,
        the_service(pair) as app,
    ):
        sessions = [await primary.a_session() for _ in range(20)]
        await asyncio.gather(*(app.get(session) for session in sessions))
        await pair.replicated(primary, standby)
        await fence_primary(pair)
        await pair.promote()

        assert (await app.fail(sessions[0])).status_code == 503
        answers = await asyncio.gather(*(app.fail(session) for session in sessions))

        assert {answer.status_code for answer in answers} == {200}
        assert len(await standby.events()) == len(sessions)

        async def has_no_connection_after_a_read() -> bool:
            assert (await app.get(sessions[0])).json()["data"]["session"]["status"] == "failed"
            return bool(await primary.value(CONNECTIONS, primary.cluster.api_role) == 0)

        await eventually(has_no_connection_after_a_read)


async def test_one_probe_is_enough_to_leave_a_server_that_can_only_be_read(pair: Pair) -> None:
    async with (
        connected(pair.standby) as standby,
        connected(pair.primary) as primary,
        the_service(pair) as app,
    ):
        sessions = [await primary.a_session() for _ in range(20)]
        await asyncio.gather(*(app.get(session) for session in sessions))
        await pair.replicated(primary, standby)
        await fence_primary(pair)
        await pair.promote()

        assert [await readiness(app), await readiness(app)] == [503, 200]


async def test_the_relay_follows_too(pair: Pair) -> None:
    async with a_nats_server() as broker, connected(pair.standby) as standby:
        await broker.make_stream()
        environment = {
            "SERVICE_DATABASE_URL": pair.url(login=pair.primary.relay_role),
            "SERVICE_NATS_URL": broker.url,
        }

        async def is_published(session: Session) -> bool:
            subjects = [message.subject for message in await broker.stored()]
            return any(str(session.id) in subject for subject in subjects)

        async with (
            the_service(pair, command_timeout_seconds=1) as app,
            started("relay", environment=environment),
        ):
            async with connected(pair.primary) as primary:
                before, after = await primary.a_session(), await primary.a_session()
                await eventually(lambda: fails(app, before))
                await eventually(lambda: is_published(before))
                await pair.replicated(primary, standby)
            await pair.stop_primary()
            await pair.promote()

            await eventually(lambda: fails(app, after))
            await eventually(lambda: is_published(after))


async def fails(app: App, session: Session) -> bool:
    """With a key, because a command may be executed although its answer was a 503."""
    key = {"Idempotency-Key": str(session.id)}
    return (await app.fail(session, headers=key)).status_code == 200


async def fence_primary(pair: Pair) -> None:
    await pair.primary.execute(*MAKE_READ_ONLY)
    await eventually(lambda: is_read_only(pair.primary))


async def is_read_only(cluster: Cluster) -> bool:
    async with connected(cluster) as database:
        return bool(await database.value(IS_READ_ONLY) == "on")

# SPDX-License-Identifier: MIT
"""Three brokers, each with a replica of the stream."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from nats.errors import Error as NatsError
from pydantic import SecretStr

from service.bootstrap import relay as relaying
from service.bootstrap.settings import RelaySettings
from tests.builders import a_session
from tests.nats_cluster import NatsCluster, a_nats_cluster
from tests.nats_server import NatsServer, a_nats_server
from tests.relay.conftest import is_empty
from tests.relay.publishing import require_each_once_in_order
from tests.relay.queue import many_events
from tests.running import App, TestDatabase, eventually
from tests.system.processes import started

SESSIONS = 30


@pytest.fixture
async def gym(tmp_path: Path) -> AsyncIterator[NatsCluster]:
    async with a_nats_cluster(tmp_path) as cluster:
        yield cluster


@pytest.fixture
def brokers(gym: NatsCluster) -> list[NatsServer]:
    return [node.server for node in gym.nodes]


def environment(database: TestDatabase, brokers: list[NatsServer]) -> dict[str, str]:
    return {
        "SERVICE_DATABASE_URL": database.relay_url,
        "SERVICE_NATS_URL": ",".join(broker.url for broker in brokers),
        "SERVICE_NATS_STREAM_REPLICAS": "3",
    }


async def test_batches_arrive_once_and_in_order(
    database: TestDatabase, brokers: list[NatsServer]
) -> None:
    ids = await many_events(database, sessions=500, each=3)

    async with started("relay", "--ensure-stream", environment=environment(database, brokers)):
        await eventually(lambda: is_empty(database))

    await require_each_once_in_order(brokers[0], ids)


async def test_events_arrive_once_when_a_broker_of_three_is_killed(
    app: App, database: TestDatabase, brokers: list[NatsServer]
) -> None:
    sessions = [a_session() for _ in range(SESSIONS)]
    await database.insert(*sessions)
    async with started("relay", "--ensure-stream", environment=environment(database, brokers)):
        for session in sessions[: SESSIONS // 2]:
            await app.fail(session)
        await eventually(lambda: is_empty(database))

        await brokers[0].stop(signal.SIGKILL)
        for session in sessions[SESSIONS // 2 :]:
            await app.fail(session)
        await eventually(lambda: is_empty(database))

        await eventually(lambda: _has_stored(brokers[1], SESSIONS))


async def _has_stored(broker: NatsServer, count: int) -> bool:
    """A broker that has no leader of the stream answers with an error, or not at all."""
    with suppress(NatsError, TimeoutError):
        return await broker.count() == count
    return False


async def test_a_relay_leaves_a_broker_that_a_network_partition_separates_from_the_others(
    app: App, database: TestDatabase, gym: NatsCluster, brokers: list[NatsServer]
) -> None:
    session = await database.a_session()
    near, other, _ = gym.nodes
    await gym.make_stream()
    async with started("relay", environment=environment(database, brokers)) as relay:
        await relay.line('"state": "active"')
        await gym.move_leader(other)

        with gym.partitioned(near):
            await app.fail(session)
            await eventually(lambda: is_empty(database))

            assert await _has_stored(other.server, 1)


async def test_a_relay_leaves_a_broker_through_which_no_jetstream_answers(
    app: App, database: TestDatabase, stream: NatsServer, settings: RelaySettings
) -> None:
    session = await database.a_session()
    await app.fail(session)
    async with a_nats_server(has_jetstream=False) as other:
        changed = {"nats_url": SecretStr(f"{other.url},{stream.url}"), "nats_timeout_seconds": 1}
        async with relaying.a_relay(settings.model_copy(update=changed)) as relay:
            running = asyncio.create_task(relay.run())
            await eventually(lambda: is_empty(database))
            relay.stop()
            await running

    assert await stream.count() == 1

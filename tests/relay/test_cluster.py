# SPDX-License-Identifier: MIT
"""Three brokers, each with a replica of the stream."""

import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress

import pytest
from nats.errors import Error as NatsError

from tests.builders import a_session
from tests.nats_server import NatsServer, a_nats_server
from tests.relay.conftest import is_empty
from tests.relay.publishing import require_each_once_in_order
from tests.relay.queue import many_events
from tests.running import TRIES, App, TestDatabase, eventually
from tests.system.processes import free_port, started

SESSIONS = 30
AN_ELECTION = 5 * TRIES
"""Brokers elect a leader when they form a cluster and when one is lost; each takes seconds."""


@pytest.fixture
async def brokers() -> AsyncIterator[list[NatsServer]]:
    ports = [free_port() for _ in range(3)]
    routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in ports)
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(
                a_nats_server(
                    f"server_name: broker-{port}\n"
                    f"cluster {{ name: gym, listen: 127.0.0.1:{port}, routes: [{routes}] }}"
                )
            )
            for port in ports
        ]


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
        await eventually(lambda: is_empty(database), tries=AN_ELECTION)

    await require_each_once_in_order(brokers[0], ids)


async def test_events_arrive_once_when_a_broker_of_three_is_killed(
    app: App, database: TestDatabase, brokers: list[NatsServer]
) -> None:
    sessions = [a_session() for _ in range(SESSIONS)]
    await database.insert(*sessions)
    async with started("relay", "--ensure-stream", environment=environment(database, brokers)):
        for session in sessions[: SESSIONS // 2]:
            await app.fail(session)
        await eventually(lambda: is_empty(database), tries=AN_ELECTION)

        await brokers[0].stop(signal.SIGKILL)
        for session in sessions[SESSIONS // 2 :]:
            await app.fail(session)
        await eventually(lambda: is_empty(database), tries=AN_ELECTION)

        await eventually(lambda: _has_stored(brokers[1], SESSIONS), tries=AN_ELECTION)


async def _has_stored(broker: NatsServer, count: int) -> bool:
    """A broker that has no leader of the stream answers with an error."""
    with suppress(NatsError):
        return await broker.count() == count
    return False

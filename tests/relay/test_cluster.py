"""Three brokers that keep the stream three times."""

import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from tests.builders import a_session
from tests.nats_server import NatsServer, a_nats_server
from tests.relay.conftest import is_empty
from tests.running import TRIES, App, TestDatabase, eventually
from tests.system.processes import free_port, started

SESSIONS = 30
AN_ELECTION = 5 * TRIES
"""The brokers left choose a new leader of the stream, which takes them seconds."""


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


async def test_events_arrive_once_when_a_broker_of_three_is_killed(
    app: App, database: TestDatabase, brokers: list[NatsServer]
) -> None:
    sessions = [a_session() for _ in range(SESSIONS)]
    await database.insert(*sessions)
    environment = {
        "SERVICE_DATABASE_URL": database.api_url,
        "SERVICE_NATS_URL": ",".join(broker.url for broker in brokers),
        "SERVICE_NATS_STREAM_REPLICAS": "3",
    }
    async with started("relay", "--ensure-stream", environment=environment):
        for session in sessions[: SESSIONS // 2]:
            await app.fail(session)
        await eventually(lambda: is_empty(database))

        await brokers[0].stop(signal.SIGKILL)
        for session in sessions[SESSIONS // 2 :]:
            await app.fail(session)
        await eventually(lambda: is_empty(database), tries=AN_ELECTION)

        assert await brokers[1].count() == SESSIONS

# SPDX-License-Identifier: MIT
"""The documented permissions are enough: for the relay and its commands, and for the example."""

import json
import signal
import sys

from service.domain.session import Session
from tests.documents.blocks import block
from tests.nats_server import a_nats_server
from tests.relay.conftest import StartRelay, is_empty
from tests.relay.queue import an_event
from tests.running import TestDatabase, eventually
from tests.system.processes import finished, started

CONSUMER = (sys.executable, "docs/examples/consumer.py")
LOGIN = "coach:whistle"
SINCE = ("--since", "2026-01-01T00:00:00Z")


def server_settings(permissions: str) -> str:
    """Gives the user of LOGIN these permissions, and others every permission."""
    limited = f'{{user: coach, password: "whistle", permissions: {{\n{permissions}}}}}'
    owner = '{user: owner, password: "any"}'
    return f"authorization {{ users: [{limited}, {owner}] }}\nno_auth_user: owner"


async def test_the_documented_permissions_are_enough(
    database: TestDatabase, a_relay: StartRelay
) -> None:
    event_id = await an_event(database, await database.a_session(), 1)
    async with a_nats_server(server_settings(block("docs/events.md", "publish: "))) as server:
        url = server.url_with(LOGIN)
        async with a_relay("--ensure-stream", nats_url=url) as process:
            await eventually(lambda: is_empty(database))
            process.signal(signal.SIGTERM)
            assert await process.end() == 0, process.output
        for arguments in (["--audit"], ["--replay", *SINCE]):
            async with a_relay(*arguments, nats_url=url) as process:
                assert await process.end() == 0, process.output

        assert await server.ids() == [str(event_id)]


async def test_the_documented_permissions_are_enough_to_erase_a_user(
    database: TestDatabase, a_relay: StartRelay
) -> None:
    session = await database.a_session(status="failed")
    await an_event(database, session, 1)
    async with a_nats_server(server_settings(block("docs/retention.md", "publish: "))) as server:
        async with a_relay("--ensure-stream", nats_url=server.url) as process:
            await eventually(lambda: is_empty(database))
        await server.publish(f"training.session.v1.gym.{session.id}.failed", payload(session))
        environment = {
            "SERVICE_DATABASE_URL": database.eraser_url,
            "SERVICE_NATS_URL": server.url_with(LOGIN),
        }

        done = await finished(
            "erase",
            *("--user", str(session.user_id), "--yes", "--search-stream"),
            environment=environment,
        )

        assert (done.code, done.err) == (0, "")
        assert "and 2 messages of the stream" in done.out
        assert await server.count() == 0
        assert process.err == []


def payload(session: Session) -> bytes:
    return json.dumps({"userId": str(session.user_id)}).encode()


async def test_the_documented_permissions_are_enough_for_the_example_of_a_consumer(
    database: TestDatabase,
) -> None:
    async with a_nats_server(server_settings(block("docs/consumers.md", "publish: "))) as server:
        await server.make_stream()
        await server.publish("training.session.v1.gym.3.failed", b"a knee that hurts")
        environment = {
            "CONSUMER_NATS_URL": server.url_with(LOGIN),
            "CONSUMER_DATABASE_URL": database.url,
        }
        async with started(command=CONSUMER, environment=environment) as consumer:
            await consumer.line("message 1 is rejected")
            await eventually(lambda: server.has_acknowledged("totals"))
            assert "ermission" not in consumer.output

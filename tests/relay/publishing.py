# SPDX-License-Identifier: MIT
"""Events to publish, a connection that publishes them, and a check of the stream."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

from service.application.outbox import OutboxEvent
from service.relay.broker import Broker
from service.relay.connection import Connection
from service.relay.servers import parse_servers
from tests.builders import MORNING
from tests.nats_server import STREAM, NatsServer

PATIENCE = 60.0
IMPATIENCE = 0.5
"""For a broker that does not answer."""

OWNER = uuid4()


@asynccontextmanager
async def a_broker(
    server: NatsServer, *, login: str = "", patience: float = PATIENCE
) -> AsyncIterator[Broker]:
    """A connection to the server, for the stream of the tests."""
    servers = parse_servers(server.url_with(login))
    async with Connection(servers, seconds=patience).open() as connection:
        broker = Broker(connection, stream=STREAM, source="/gym")
        await broker.wait_until_connected()
        yield broker


def an_outbox_event(session_id: UUID, version: int = 1) -> OutboxEvent:
    return OutboxEvent(
        id=uuid4(),
        user_id=OWNER,
        session_id=session_id,
        session_version=version,
        type="session_failed",
        data={"reason": "shoulder pain"},
        occurred_at=MORNING,
        request_id="phone-7",
        traceparent=None,
    )


async def require_each_once_in_order(stream: NatsServer, ids: Sequence[UUID]) -> None:
    stored = await stream.stored()
    assert sorted(message.id for message in stored) == sorted(map(str, ids))
    versions: dict[str, list[int]] = {}
    for message in stored:
        own = versions.setdefault(message.payload["sessionId"], [])
        own.append(message.payload["sessionVersion"])
    assert all(own == sorted(own) for own in versions.values())

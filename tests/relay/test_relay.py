"""python -m service relay: from committed events to the stream."""

import signal

from tests.conftest import StartApp
from tests.nats_server import NatsServer
from tests.relay.conftest import StartRelay
from tests.running import TestDatabase, eventually


async def test_a_failed_session_reaches_the_stream(
    database: TestDatabase, start_app: StartApp, stream: NatsServer, a_relay: StartRelay
) -> None:
    app = await start_app()
    session = await database.a_session()
    await app.fail(session, reason="shoulder pain", headers={"X-Request-Id": "phone-7"})

    async with a_relay() as process:
        await eventually(lambda: _is_empty(database))
        process.signal(signal.SIGTERM)
        assert await process.end() == 0

    [event] = await database.events(session)
    [stored] = await stream.stored()
    assert stored.subject == f"training.session.v1.{session.id}.failed"
    assert stored.id == str(event["id"])


async def _is_empty(database: TestDatabase) -> bool:
    return not await database.outbox()

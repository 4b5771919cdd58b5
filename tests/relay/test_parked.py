# SPDX-License-Identifier: MIT
"""Parked events: the broker refused them; later events of their session wait behind them."""

from service.bootstrap import relay as relaying
from service.bootstrap.settings import RelaySettings
from service.relay.batch import BLOCKED
from tests.nats_server import NatsServer
from tests.relay.conftest import Relay, StartRelay
from tests.relay.queue import an_event
from tests.running import TestDatabase

A_LONG_STORY = {"reason": "a knee that hurts " * 100}


async def test_a_refused_event_is_parked_with_its_reason_and_its_session_waits_behind_it(
    database: TestDatabase, stream: NatsServer, relay: Relay, settings: RelaySettings
) -> None:
    await stream.update_stream(max_msg_size=1000)
    hurt, well = await database.a_session(), await database.a_session()
    ids = [
        await an_event(database, hurt, 1, type="session_planned"),
        await an_event(database, hurt, 2, type="session_started", data=A_LONG_STORY),
        await an_event(database, hurt, 3),
    ]
    other = await an_event(database, well, 1)
    await relay()
    assert {message.id for message in await stream.stored()} == {str(ids[0]), str(other)}

    # Also what comes later waits.
    ids.append(await an_event(database, hurt, 4, type="session_reviewed"))
    await relay()
    assert [(each.event_id, each.reason) for each in await relaying.parked(settings)] == [
        (ids[1], "it is larger than the stream allows"),
        (ids[2], BLOCKED),
        (ids[3], BLOCKED),
    ]

    await stream.update_stream(max_msg_size=-1)
    ids.append(await an_event(database, hurt, 5, type="session_praised"))
    assert await relaying.retry_parked(settings) == 3
    await relay()

    in_order = [each.id for each in await stream.stored() if each.id != str(other)]
    assert in_order == [str(event_id) for event_id in ids]
    assert await database.value("SELECT count(*) FROM parked_events") == 0


async def test_the_command_line_lists_parked_events_and_retries_them(
    database: TestDatabase, stream: NatsServer, relay: Relay, a_relay: StartRelay
) -> None:
    await stream.update_stream(max_msg_size=1000)
    session = await database.a_session()
    event_id = await an_event(database, session, 1, data=A_LONG_STORY)
    await relay()

    async with a_relay("--parked") as shown:
        assert await shown.end() == 0
    async with a_relay("--retry-parked") as retried:
        assert await retried.end() == 0

    [line] = shown.out
    reason = "it is larger than the stream allows"
    assert f"{event_id} {session.id} session_failed {reason}" in line
    assert retried.out == ["1 parked events are in the queue again.\n"]
    assert await database.outbox() == [event_id]

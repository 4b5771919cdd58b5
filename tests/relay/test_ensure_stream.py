# SPDX-License-Identifier: MIT
"""--ensure-stream creates a stream once: one that was deleted later needs its history first."""

import asyncio
from datetime import UTC, datetime

import pytest

from service.bootstrap import relay as relaying
from service.bootstrap.settings import RelaySettings
from service.relay.errors import BrokerUnavailable, WrongStream
from service.relay.observing import ObservedTurn
from service.relay.replay import Replayed
from tests.nats_server import NatsServer
from tests.relay.queue import an_event
from tests.running import TestDatabase

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)

Turns = asyncio.Queue[ObservedTurn]


async def turns(told: Turns, state: str, number: int) -> None:
    """Waits for so many turns in this state."""
    while number:
        turn = await told.get()
        number -= turn.state == state


async def test_a_running_relay_does_not_create_a_deleted_stream_anew(
    database: TestDatabase, broker: NatsServer, settings: RelaySettings
) -> None:
    old = await an_event(database, await database.a_session(), 1)
    told = Turns()
    async with relaying.a_relay(settings, ensure_stream=True, observe=told.put_nowait) as relay:
        running = asyncio.create_task(relay.run())
        await turns(told, "active", 1)
        await broker.delete_stream()
        new = await an_event(database, await database.a_session(), 1)
        await turns(told, "broker unavailable", 3)

        assert not await broker.has_stream()
        assert await database.outbox() == [new]
        done = await relaying.publish_history(settings, LONG_AGO, ensure_stream=True)
        await turns(told, "active", 1)
        while await database.outbox():
            await turns(told, "active", 1)
        relay.stop()
        await running

    assert done == Replayed(published=1)
    assert [each.id for each in await broker.stored()] == [str(old), str(new)]


async def test_a_stream_that_is_there_is_not_made_anew_either(
    database: TestDatabase, stream: NatsServer, settings: RelaySettings
) -> None:
    """The relay started with --ensure-stream, found a stream, and saw it deleted."""
    told = Turns()
    async with relaying.a_relay(settings, ensure_stream=True, observe=told.put_nowait) as relay:
        running = asyncio.create_task(relay.run())
        await turns(told, "active", 1)
        await stream.delete_stream()
        await an_event(database, await database.a_session(), 1)
        await turns(told, "broker unavailable", 3)
        relay.stop()
        await running

    assert not await stream.has_stream()


async def test_creates_the_stream_later_if_the_broker_was_down_at_the_start(
    database: TestDatabase, broker: NatsServer, settings: RelaySettings
) -> None:
    await broker.stop()
    event = await an_event(database, await database.a_session(), 1)
    told = Turns()
    async with relaying.a_relay(settings, ensure_stream=True, observe=told.put_nowait) as relay:
        running = asyncio.create_task(relay.run())
        await turns(told, "broker unavailable", 1)
        await broker.start()
        await turns(told, "active", 1)
        relay.stop()
        await running

    assert [each.id for each in await broker.stored()] == [str(event)]


async def test_a_replay_creates_no_stream_unless_it_is_told_to(
    database: TestDatabase, broker: NatsServer, settings: RelaySettings
) -> None:
    with pytest.raises(BrokerUnavailable, match="missing"):
        await relaying.publish_history(settings, LONG_AGO)

    assert not await broker.has_stream()


async def test_a_stream_that_became_wrong_during_an_outage_ends_the_relay(
    database: TestDatabase, stream: NatsServer, settings: RelaySettings
) -> None:
    told = Turns()
    async with relaying.a_relay(settings, observe=told.put_nowait) as relay:
        running = asyncio.create_task(relay.run())
        await turns(told, "active", 1)
        await stream.delete_stream()
        event = await an_event(database, await database.a_session(), 1)
        await turns(told, "broker unavailable", 2)
        await stream.make_stream(discard="old")

        with pytest.raises(WrongStream, match="discards old events"):
            await running

    assert await stream.count() == 0
    assert await database.outbox() == [event]

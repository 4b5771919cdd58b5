# SPDX-License-Identifier: MIT
"""Atomic batches: the stream stores all events of a batch, or none."""

import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest

from service.application.outbox import OutboxEvent
from service.bootstrap import relay as relaying
from service.bootstrap.settings import RelaySettings
from service.relay.batch import BLOCKED
from service.relay.broker import Broker
from service.relay.delivery import ATOMIC_MAX, ATOMIC_MIN
from service.relay.errors import BrokerUnavailable
from tests.nats_server import NatsServer
from tests.relay.conftest import Relay, StartRelay, is_empty
from tests.relay.publishing import IMPATIENCE, a_broker, an_outbox_event, require_each_once_in_order
from tests.relay.queue import an_event, many_events
from tests.running import TestDatabase, eventually

A_LONG_STORY = "a knee that hurts " * 100
LARGEST = 1000
"""Bytes: more than an event of the tests has, and fewer than one with a long story."""


@pytest.fixture
async def connected(stream: NatsServer) -> AsyncIterator[Broker]:
    async with a_broker(stream) as connected:
        connected.is_atomic = True
        yield connected


@asynccontextmanager
async def impatient(stream: NatsServer) -> AsyncIterator[Broker]:
    async with a_broker(stream, patience=IMPATIENCE) as connected:
        connected.is_atomic = True
        yield connected


def some_events(count: int = 5) -> list[OutboxEvent]:
    return [an_outbox_event(uuid4()) for _ in range(count)]


@pytest.mark.parametrize("count", [1, ATOMIC_MIN, ATOMIC_MAX])
async def test_a_batch_is_stored_in_its_order(
    stream: NatsServer, connected: Broker, count: int
) -> None:
    events = some_events(count)

    assert await connected.publish_atomically(events) is True

    assert [message.id for message in await stream.stored()] == [str(each.id) for each in events]


async def test_messages_of_a_batch_differ_from_single_messages_only_in_the_batch_headers(
    stream: NatsServer, connected: Broker
) -> None:
    alone, *others = some_events(4)
    await connected.publish(alone)
    await connected.publish_atomically(others)

    [expected, *found] = await stream.stored()

    batches = {message.headers.pop("Nats-Batch-Id") for message in found}
    places = [message.headers.pop("Nats-Batch-Sequence") for message in found]
    commits = [message.headers.pop("Nats-Batch-Commit", None) for message in found]
    assert (len(batches), places, commits) == (1, ["1", "2", "3"], [None, None, "1"])
    assert [set(message.headers) for message in found] == [set(expected.headers)] * 3
    assert [message.payload.keys() for message in found] == [expected.payload.keys()] * 3


def with_its_id_known(event: OutboxEvent) -> OutboxEvent:
    return an_outbox_event(uuid4())._replace(id=event.id)


def with_its_subject_taken(event: OutboxEvent) -> OutboxEvent:
    return event._replace(id=uuid4())


@pytest.mark.parametrize("double", [with_its_id_known, with_its_subject_taken])
@pytest.mark.parametrize("place", [0, 2, 4], ids=["first", "in the middle", "last"])
async def test_nothing_is_stored_of_a_batch_with_a_duplicate(
    stream: NatsServer,
    connected: Broker,
    double: Callable[[OutboxEvent], OutboxEvent],
    place: int,
) -> None:
    known = an_outbox_event(uuid4())
    await connected.publish(known)
    events = some_events()
    events[place] = double(known)

    assert await connected.publish_atomically(events) is False
    assert await stream.count() == 1


@pytest.mark.parametrize("place", [0, 2, 4], ids=["first", "in the middle", "last"])
async def test_nothing_is_stored_of_a_batch_with_a_message_above_the_limit_of_the_stream(
    stream: NatsServer, connected: Broker, place: int
) -> None:
    await stream.update_stream(max_msg_size=LARGEST)
    events = some_events()
    events[place] = events[place]._replace(data={"reason": A_LONG_STORY})

    assert await connected.publish_atomically(events) is False
    assert await stream.count() == 0


async def test_does_not_send_a_batch_with_a_message_above_the_limit_of_the_broker(
    stream: NatsServer, connected: Broker
) -> None:
    """The broker would close the connection."""
    first, *others = some_events()
    large = first._replace(data={"reason": A_LONG_STORY * 600})

    assert await connected.publish_atomically([large, *others]) is False
    assert await connected.publish_atomically(others) is True


@pytest.mark.parametrize("limit", [{"max_msgs": 3}, {"max_bytes": 2000}], ids=str)
async def test_nothing_is_stored_of_a_batch_if_the_stream_is_full(
    stream: NatsServer, connected: Broker, limit: dict[str, int]
) -> None:
    await stream.update_stream(**limit)

    assert await connected.publish_atomically(some_events()) is False
    assert await stream.count() == 0


async def test_nothing_is_stored_if_the_stream_no_longer_allows_batches(
    stream: NatsServer, connected: Broker
) -> None:
    await stream.update_stream(allow_atomic=False)

    assert await connected.publish_atomically(some_events()) is False
    assert await stream.count() == 0


async def test_sends_no_batch_to_a_stream_that_does_not_allow_batches(
    stream: NatsServer, connected: Broker
) -> None:
    connected.is_atomic = False

    assert await connected.publish_atomically(some_events()) is False
    assert await stream.count() == 0


async def test_nothing_is_stored_of_a_batch_with_too_many_messages(
    stream: NatsServer, connected: Broker
) -> None:
    assert await connected.publish_atomically(some_events(ATOMIC_MAX + 1)) is False
    assert await stream.count() == 0


async def test_a_missing_stream_is_an_outage(stream: NatsServer, connected: Broker) -> None:
    await stream.delete_stream()

    with pytest.raises(BrokerUnavailable, match="the stream TRAINING_SESSIONS is missing"):
        await connected.publish_atomically(some_events())


async def test_a_batch_acknowledged_by_another_stream_is_an_outage(
    stream: NatsServer, connected: Broker
) -> None:
    await stream.delete_stream()
    await stream.make_stream(name="GYM")

    with pytest.raises(BrokerUnavailable, match='the stream "GYM" stored the event'):
        await connected.publish_atomically(some_events())


async def test_a_broker_that_does_not_answer_is_an_outage(
    stream: NatsServer, connected: Broker
) -> None:
    events = some_events()
    async with impatient(stream) as other:
        await stream.freeze()
        try:
            with pytest.raises(BrokerUnavailable, match="it does not answer"):
                await other.publish_atomically(events)
        finally:
            stream.thaw()

    # It may have stored them since.
    assert {await connected.publish(event) for event in events} <= {True, False}
    assert await stream.count() == len(events)


async def test_nothing_is_stored_of_an_incomplete_batch(
    stream: NatsServer, connected: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relay that is killed leaves such a batch."""
    events = some_events()
    async with impatient(stream) as other:
        client = other._connection.require()._client  # noqa: SLF001  its work is cut short
        send = client.send

        async def half(commands: bytes) -> None:
            await send(b"HPUB".join(commands.split(b"HPUB")[:4]))

        monkeypatch.setattr(client, "send", half)
        with pytest.raises(BrokerUnavailable, match="it does not answer"):
            await other.publish_atomically(events)

    assert await stream.count() == 0
    assert await connected.publish_atomically(events) is True


async def test_skips_duplicates_of_a_batch_and_publishes_the_other_events(
    database: TestDatabase, stream: NatsServer, relay: Relay
) -> None:
    ids = await many_events(database, sessions=ATOMIC_MIN)
    await relay()
    await database.execute(
        "INSERT INTO outbox (user_id, event_id) SELECT user_id, id FROM events WHERE id = ANY($1)",
        ids[:7],
    )
    ids += await many_events(database, sessions=ATOMIC_MIN)

    turns = await relay()

    assert sum(turn.duplicates for turn in turns) == 7
    assert sum(turn.published for turn in turns) == ATOMIC_MIN
    await require_each_once_in_order(stream, ids)


async def test_parks_a_refused_event_and_publishes_the_others_of_its_batch(
    database: TestDatabase, stream: NatsServer, relay: Relay, settings: RelaySettings
) -> None:
    await stream.update_stream(max_msg_size=LARGEST)
    session = await database.a_session()
    refused = await an_event(database, session, 1, data={"reason": A_LONG_STORY})
    behind = await an_event(database, session, 2, type="session_praised")
    others = await many_events(database, sessions=ATOMIC_MIN)

    await relay()

    assert {message.id for message in await stream.stored()} == {*map(str, others)}
    assert [(each.event_id, each.reason) for each in await relaying.parked(settings)] == [
        (refused, "it is larger than the stream allows"),
        (behind, BLOCKED),
    ]


async def test_publishes_each_event_alone_to_a_stream_without_batches(
    database: TestDatabase, broker: NatsServer, relay: Relay
) -> None:
    await broker.make_stream(allow_atomic=False)
    ids = await many_events(database, sessions=ATOMIC_MIN, each=2)

    await relay()

    await require_each_once_in_order(broker, ids)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "stopped"])
async def test_each_event_is_stored_once_in_order_although_the_broker_is_killed(
    database: TestDatabase, stream: NatsServer, a_relay: StartRelay, number: signal.Signals
) -> None:
    ids = await many_events(database, sessions=2000, each=3)

    async with a_relay(relay_batch_size=2 * ATOMIC_MIN) as process:
        for count in (1, 2500):
            await holds(stream, count)
            await stream.stop(number)
            await stream.start()
        await eventually(lambda: is_empty(database))
        process.signal(signal.SIGTERM)
        assert await process.end() == 0, process.output

    await require_each_once_in_order(stream, ids)


async def test_each_event_is_stored_once_in_order_although_relays_are_killed(
    database: TestDatabase, stream: NatsServer, a_relay: StartRelay
) -> None:
    ids = await many_events(database, sessions=2000, each=3)

    for count in (1, 1500, 3500):
        async with a_relay(relay_batch_size=2 * ATOMIC_MIN) as process:
            await holds(stream, count)
            process.signal(signal.SIGKILL)
    async with a_relay():
        await eventually(lambda: is_empty(database))

    await require_each_once_in_order(stream, ids)


async def holds(stream: NatsServer, count: int) -> None:
    async def it_does() -> bool:
        return await stream.count() >= count

    await eventually(it_does)

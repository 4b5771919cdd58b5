"""The connection to a real broker: acknowledgements, duplicates, refusals, outages."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest

from service.relay.broker import Broker
from service.relay.errors import BrokerUnavailable, EventRefused
from tests.nats_server import STREAM, NatsServer
from tests.relay.publishing import PUBLISH_TIMEOUT, an_outbox_event
from tests.running import eventually


@asynccontextmanager
async def a_connection(stream: NatsServer, *, with_ids: bool = True) -> AsyncIterator[Broker]:
    connected = Broker(stream=STREAM, source="/gym", timeout=PUBLISH_TIMEOUT, with_ids=with_ids)
    async with connected.connected([stream.url]):
        await connected.jetstream()
        yield connected


@pytest.fixture
async def connected(stream: NatsServer) -> AsyncIterator[Broker]:
    async with a_connection(stream) as connected:
        yield connected


@pytest.fixture
async def without_ids(stream: NatsServer) -> AsyncIterator[Broker]:
    async with a_connection(stream, with_ids=False) as connected:
        yield connected


async def test_an_event_is_stored_once_however_often_it_is_published(
    stream: NatsServer, connected: Broker
) -> None:
    event = an_outbox_event(uuid4())

    assert [await connected.publish(event) for _ in range(3)] == [False, True, True]
    assert await stream.count() == 1


async def test_an_event_is_stored_once_although_the_broker_forgot_its_id(
    stream: NatsServer, connected: Broker, without_ids: Broker
) -> None:
    event = an_outbox_event(uuid4())
    await connected.publish(event)

    # As if the duplicate window had passed.
    assert await without_ids.publish(event) is True
    assert await stream.count() == 1


async def test_a_replay_is_stored_although_the_broker_remembers_the_ids(
    stream: NatsServer, connected: Broker, without_ids: Broker
) -> None:
    event = an_outbox_event(uuid4())
    await connected.publish(event)
    await stream.purge_stream()

    assert await without_ids.publish(event) is False
    assert await stream.count() == 1


async def test_a_full_stream_is_an_outage(stream: NatsServer, connected: Broker) -> None:
    await stream.update_stream(max_msgs=1)
    await connected.publish(an_outbox_event(uuid4()))

    with pytest.raises(BrokerUnavailable, match="maximum messages exceeded"):
        await connected.publish(an_outbox_event(uuid4()))


async def test_a_missing_stream_is_an_outage(stream: NatsServer, connected: Broker) -> None:
    await stream.delete_stream()

    with pytest.raises(BrokerUnavailable, match="the stream TRAINING_SESSIONS is missing"):
        await connected.publish(an_outbox_event(uuid4()))


async def test_an_acknowledgement_of_another_stream_is_an_outage(
    stream: NatsServer, connected: Broker
) -> None:
    await stream.delete_stream()
    await stream.make_stream(name="GYM")

    with pytest.raises(BrokerUnavailable, match="GYM stored the event"):
        await connected.publish(an_outbox_event(uuid4()))


async def test_a_broker_that_does_not_answer_is_an_outage(
    stream: NatsServer, connected: Broker
) -> None:
    await stream.freeze()
    try:
        with pytest.raises(BrokerUnavailable, match="it does not answer"):
            await connected.publish(an_outbox_event(uuid4()))
    finally:
        stream.thaw()


async def test_a_broker_that_is_killed_is_an_outage_at_once(
    stream: NatsServer, connected: Broker
) -> None:
    await stream.stop()

    with pytest.raises(BrokerUnavailable, match="connection"):
        await connected.publish(an_outbox_event(uuid4()))


async def test_a_message_above_the_limit_of_the_stream_is_refused(
    stream: NatsServer, connected: Broker
) -> None:
    await stream.update_stream(max_msg_size=600)
    small = an_outbox_event(uuid4())

    assert await connected.publish(small) is False
    with pytest.raises(EventRefused, match="larger than the stream allows"):
        await connected.publish(small._replace(id=uuid4(), session_id=uuid4(), request_id="x" * 99))


async def test_does_not_send_a_message_above_the_limit_of_the_broker(
    stream: NatsServer, connected: Broker
) -> None:
    """The broker would close the connection."""
    large = an_outbox_event(uuid4())._replace(data={"reason": "a knee that hurts " * 60_000})

    with pytest.raises(EventRefused, match="more than the broker accepts"):
        await connected.publish(large)
    assert await connected.publish(an_outbox_event(uuid4())) is False


async def test_connects_again_after_the_client_closed_its_connection(
    stream: NatsServer, connected: Broker
) -> None:
    """The library closes its connection after an error that the server reports."""
    await connected._client.close()  # noqa: SLF001  no server does so when it is asked to

    async def is_published() -> bool:
        try:
            return not await connected.publish(an_outbox_event(uuid4()))
        except BrokerUnavailable:
            return False

    await eventually(is_published)
    assert await stream.count() == 1

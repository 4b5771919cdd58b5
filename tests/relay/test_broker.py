# SPDX-License-Identifier: MIT
"""The connection to a real broker: acknowledgements, duplicates, refusals, outages."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from nats.aio.msg import Msg

from service.relay.broker import Broker
from service.relay.delivery import deliver
from service.relay.errors import BrokerUnavailable, EventRefused
from service.relay.messages import parse_headers
from service.relay.stored import StoredMessage
from tests.nats_server import SUBJECTS, NatsServer
from tests.relay.publishing import IMPATIENCE, a_broker, an_outbox_event, require_each_once_in_order
from tests.running import eventually


@pytest.fixture
async def connected(stream: NatsServer) -> AsyncIterator[Broker]:
    async with a_broker(stream) as connected:
        yield connected


async def test_an_event_is_stored_once_however_often_it_is_published(
    stream: NatsServer, connected: Broker
) -> None:
    event = an_outbox_event(uuid4())

    assert [await connected.publish(event) for _ in range(3)] == [False, True, True]
    assert await stream.count() == 1


async def test_an_event_is_stored_once_although_the_broker_does_not_know_its_id(
    stream: NatsServer, connected: Broker
) -> None:
    """As after the duplicate window."""
    event = an_outbox_event(uuid4())
    message = connected.message(event, with_id=False)
    headers = parse_headers(message.headers)
    await stream.publish(message.subject, message.payload, headers)

    assert await connected.publish(event) is True
    assert await stream.count() == 1


async def test_a_purged_event_is_stored_again_although_the_broker_remembers_its_id(
    stream: NatsServer, connected: Broker
) -> None:
    event = an_outbox_event(uuid4())
    await connected.publish(event)
    await stream.purge_stream()

    assert [await connected.publish(event) for _ in range(2)] == [False, True]
    assert await stream.count() == 1


async def test_a_stored_event_costs_no_further_request(
    stream: NatsServer, connected: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def ask(endpoint: str, _given: object) -> None:
        asked.append(endpoint)
        raise AssertionError

    monkeypatch.setattr(connected.stream, "_ask", ask)
    connected.is_atomic = True

    assert await connected.publish(an_outbox_event(uuid4())) is False
    assert await connected.publish_atomically([an_outbox_event(uuid4())]) is True
    assert asked == []


async def test_an_event_is_there_although_somebody_published_on_its_subject_later(
    stream: NatsServer, connected: Broker
) -> None:
    event = an_outbox_event(uuid4())
    await connected.publish(event)
    await stream.publish(connected.message(event).subject, b"a knee that hurts")

    assert await connected.publish(event) is True


async def test_an_event_is_stored_if_the_other_message_is_deleted_meanwhile(
    stream: NatsServer, connected: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = an_outbox_event(uuid4())
    sequence = await stream.publish(connected.message(event).subject, b"a knee that hurts")
    read = connected.stream.last_message

    async def read_too_late(subject: str) -> StoredMessage | None:
        await stream.delete_message(sequence)
        monkeypatch.undo()
        return await read(subject)

    monkeypatch.setattr(connected.stream, "last_message", read_too_late)

    assert await connected.publish(event) is False
    assert await stream.ids() == [str(event.id)]


async def test_a_refusal_because_of_a_message_that_is_never_there_is_an_outage(
    stream: NatsServer, connected: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = an_outbox_event(uuid4())
    await stream.publish(connected.message(event).subject, b"a knee that hurts")

    async def nothing(_subject: str) -> None:
        pass

    monkeypatch.setattr(connected.stream, "last_message", nothing)

    with pytest.raises(BrokerUnavailable, match="a message that is not there"):
        await connected.publish(event)


@pytest.mark.parametrize("answer", [b"ok", b'"ok"', b"\xff", b"[]"])
async def test_an_answer_of_a_subscriber_that_is_not_jetstream_is_an_outage(
    stream: NatsServer, connected: Broker, answer: bytes
) -> None:
    await stream.delete_stream()
    async with stream.client() as client:

        async def respond(message: Msg) -> None:
            await message.respond(answer)

        async def has_sent_its_subscription() -> bool:
            return client.pending_data_size == 0

        await client.subscribe(SUBJECTS, cb=respond)
        await eventually(has_sent_its_subscription)  # the PING of `flush` would overtake it
        await client.flush()

        with pytest.raises(BrokerUnavailable, match="something that is not JetStream answers"):
            await connected.publish(an_outbox_event(uuid4()))


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

    with pytest.raises(BrokerUnavailable, match='the stream "GYM" stored the event'):
        await connected.publish(an_outbox_event(uuid4()))


async def test_a_broker_that_does_not_answer_is_an_outage(
    stream: NatsServer,
) -> None:
    async with a_broker(stream, patience=IMPATIENCE) as connected:
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
    await connected._connection.require()._client.close()  # noqa: SLF001  no server does so when it is asked to

    async def is_published() -> bool:
        try:
            return not await connected.publish(an_outbox_event(uuid4()))
        except BrokerUnavailable:
            return False

    await eventually(is_published)
    assert await stream.count() == 1


async def test_two_relays_that_send_the_same_events_store_each_once_in_order(
    stream: NatsServer,
) -> None:
    """As a relay that is late: the events of a session are of one kind, and go one by one."""
    sessions = [uuid4() for _ in range(5)]
    events = [an_outbox_event(session, version) for version in range(1, 5) for session in sessions]

    async with a_broker(stream) as one, a_broker(stream) as other:
        done = await asyncio.gather(
            *(deliver(events, each, in_flight=2, may_go_on=lambda: True) for each in (one, other))
        )

    assert [each.is_complete(events) for each in done] == [True, True]
    assert sum(len(each.published) for each in done) == len(events)
    await require_each_once_in_order(stream, [event.id for event in events])

# SPDX-License-Identifier: MIT
"""Delivery of a batch: order within a session, refusals and failures of the broker."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.application.outbox import OutboxEvent, QueuedEvent
from service.relay.batch import BLOCKED, GONE, Batch
from service.relay.delivery import ATOMIC_MAX, ATOMIC_MIN, Delivery, deliver
from service.relay.errors import BrokerUnavailable, EventConflict, EventRefused
from tests.relay.publishing import OWNER, an_outbox_event


def histories(*lengths: int) -> list[OutboxEvent]:
    """Events of one session per length, interleaved in the order of their versions."""
    ids = [uuid4() for _ in lengths]
    return [
        an_outbox_event(session_id, version)
        for version in range(1, max(lengths) + 1)
        for session_id, length in zip(ids, lengths, strict=True)
        if version <= length
    ]


@dataclass
class FakeBroker:
    """Acknowledges in any order; refuses or fails the chosen events."""

    refuses: Sequence[OutboxEvent] = ()
    fails_at: Sequence[OutboxEvent] = ()
    knows: Sequence[OutboxEvent] = ()
    is_atomic: bool = False
    taken: list[OutboxEvent] = field(default_factory=list)
    under_way: int = 0
    most_under_way: int = 0
    asked: int = 0

    async def publish(self, event: OutboxEvent) -> bool:
        self.asked += 1
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            for _ in range(event.id.int % 5):
                await asyncio.sleep(0)
            return self._answer(event)
        finally:
            self.under_way -= 1

    async def publish_atomically(self, events: Sequence[OutboxEvent]) -> bool:
        self.asked += 1
        if self.fails_at:
            raise BrokerUnavailable("it is full")
        if self.is_atomic:
            self.taken.extend(events)
        return self.is_atomic

    def _answer(self, event: OutboxEvent) -> bool:
        if event in self.refuses:
            raise EventRefused("it is too large")
        if event in self.fails_at:
            raise BrokerUnavailable("it is full")
        self.taken.append(event)
        return event in self.knows


async def sent(events: Sequence[OutboxEvent], broker: FakeBroker) -> Delivery:
    return await deliver(events, broker, in_flight=3, may_go_on=lambda: True)


@given(st.lists(st.integers(1, 6), min_size=1, max_size=10))
def test_each_sessions_events_arrive_in_order(lengths: list[int]) -> None:
    events, broker = histories(*lengths), FakeBroker()

    delivery = asyncio.run(sent(events, broker))

    assert {event.id for event in delivery.published} == {event.id for event in events}
    for session_id in {event.session_id for event in events}:
        versions = [each.session_version for each in broker.taken if each.session_id == session_id]
        assert versions == sorted(versions)
    assert broker.most_under_way <= 3


async def test_reports_the_events_that_the_stream_already_had() -> None:
    first, second = events = histories(1, 1)

    delivery = await sent(events, FakeBroker(knows=[second]))

    assert (delivery.published, delivery.duplicates) == ([first], [second])


async def test_holds_back_the_events_after_a_refused_one_of_the_same_session_alone() -> None:
    refused, other, behind, other_still = events = histories(2, 2)

    delivery = await sent(events, FakeBroker(refuses=[refused]))

    assert delivery.published == [other, other_still]
    assert delivery.refused == [(refused, "it is too large")]
    assert delivery.blocked == [behind]
    assert delivery.outage is None


async def test_stops_publishing_after_the_broker_failed() -> None:
    events, broker = histories(*[2] * 10), FakeBroker()
    broker.fails_at = events

    delivery = await sent(events, broker)

    assert str(delivery.outage) == "it is full"
    assert [*delivery.acknowledged, *delivery.refused, *delivery.blocked] == []
    assert 1 <= broker.asked <= 3


async def test_stops_publishing_once_it_is_told_to_stop() -> None:
    events, broker = histories(5), FakeBroker()

    await deliver(events, broker, in_flight=3, may_go_on=lambda: len(broker.taken) < 2)

    assert broker.taken == events[:2]


async def test_publishes_many_events_as_one_batch() -> None:
    events, broker = histories(*[2] * (ATOMIC_MIN // 2)), FakeBroker(is_atomic=True)

    delivery = await sent(events, broker)

    assert (delivery.published, broker.taken, broker.asked) == (events, events, 1)
    assert delivery.is_complete(events)


async def test_publishes_many_events_one_by_one_if_the_stream_has_no_batches() -> None:
    events = histories(*[2] * (ATOMIC_MIN // 2))
    broker = FakeBroker(refuses=events[:1], knows=events[1:2])

    delivery = await sent(events, broker)

    assert [event for event, _ in delivery.refused] == events[:1]
    assert delivery.duplicates == events[1:2]
    assert delivery.is_complete(events)


@pytest.mark.parametrize("count", [ATOMIC_MIN - 1, ATOMIC_MAX + 1])
async def test_publishes_too_few_or_too_many_events_one_by_one(count: int) -> None:
    events, broker = histories(*[1] * count), FakeBroker(is_atomic=True)

    delivery = await sent(events, broker)

    assert broker.asked == len(delivery.published) == count


async def test_stops_publishing_after_the_broker_failed_in_a_batch() -> None:
    events = histories(*[1] * ATOMIC_MIN)
    broker = FakeBroker(is_atomic=True, fails_at=events)

    delivery = await sent(events, broker)

    assert str(delivery.outage) == "it is full"
    assert (delivery.acknowledged, broker.asked) == ([], 1)


async def test_sends_no_batch_once_it_is_told_to_stop() -> None:
    events, broker = histories(*[1] * ATOMIC_MIN), FakeBroker(is_atomic=True)

    await deliver(events, broker, in_flight=3, may_go_on=lambda: False)

    assert broker.asked == 0


def queued(*events: OutboxEvent, waits: Sequence[OutboxEvent] = ()) -> list[QueuedEvent]:
    return [
        QueuedEvent(
            position=position,
            user_id=event.user_id,
            event_id=event.id,
            event=event,
            is_blocked=event in waits,
        )
        for position, event in enumerate(events)
    ]


def test_parks_refused_events_their_followers_and_rows_without_event() -> None:
    refused, behind, waiting, published = histories(1, 1, 1, 1)
    gone = QueuedEvent(position=9, user_id=OWNER, event_id=uuid4(), event=None, is_blocked=False)
    batch = Batch([*queued(refused, behind, waiting, published, waits=[waiting]), gone])
    delivery = Delivery(
        published=[published], refused=[(refused, "it is too large")], blocked=[behind]
    )

    parked = {each.queued.position: each.reason for each in batch.to_park(delivery)}

    assert parked == {0: "it is too large", 1: BLOCKED, 2: BLOCKED, 9: GONE}
    assert waiting not in batch.events
    assert batch.positions(delivery.acknowledged) == [3]


def test_a_delivery_is_complete_if_the_result_of_every_event_is_known() -> None:
    events = histories(1, 1, 1, 1, 1)
    conflict = EventConflict("another event is there", subject="training", sequence=1)
    delivery = Delivery(
        published=events[:1],
        duplicates=events[1:2],
        refused=[(events[2], "it is too large")],
        conflicts=[(events[3], conflict)],
        blocked=events[4:],
    )

    assert delivery.is_complete(events)
    assert not delivery.is_complete([*events, *histories(1)])


@pytest.mark.parametrize(
    ("number", "requests"),
    [
        (ATOMIC_MIN - 1, ATOMIC_MIN - 1),
        (ATOMIC_MIN, 1),
        (ATOMIC_MAX, 1),
        (ATOMIC_MAX + 1, ATOMIC_MAX + 1),
    ],
)
async def test_publishes_as_many_events_in_one_batch_as_the_broker_takes(
    number: int, requests: int
) -> None:
    events, broker = histories(number), FakeBroker(is_atomic=True)

    delivery = await sent(events, broker)

    assert (delivery.published, broker.asked) == (events, requests)

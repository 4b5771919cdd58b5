"""A batch on its way: order within a session, and what is left behind."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.application.outbox import OutboxEvent, QueuedEvent
from service.domain.session import REQUIRED_STATUS, SessionStatus
from service.relay.batch import BLOCKED, GONE, Batch
from service.relay.delivery import ATOMIC_MAX, ATOMIC_MIN, Delivery, deliver
from service.relay.errors import BrokerUnavailable, EventRefused
from tests.relay.publishing import OWNER, an_outbox_event


def histories(*lengths: int) -> list[OutboxEvent]:
    """Of as many sessions, their events interleaved as they would have happened."""
    ids = [uuid4() for _ in lengths]
    return [
        an_outbox_event(session_id, version)
        for version in range(1, max(lengths) + 1)
        for session_id, length in zip(ids, lengths, strict=True)
        if version <= length
    ]


@dataclass
class FakeBroker:
    """Acknowledges in an order of its own; refuses or fails where it is told to."""

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


async def test_tells_what_the_stream_had_already() -> None:
    first, second = events = histories(1, 1)

    delivery = await sent(events, FakeBroker(knows=[second]))

    assert (delivery.published, delivery.duplicates) == ([first], [second])


async def test_what_is_behind_a_refused_event_is_held_back_and_other_sessions_are_not() -> None:
    refused, other, behind, other_still = events = histories(2, 2)

    delivery = await sent(events, FakeBroker(refuses=[refused]))

    assert delivery.published == [other, other_still]
    assert delivery.refused == [(refused, "it is too large")]
    assert delivery.blocked == [behind]
    assert delivery.outage is None


async def test_sends_nothing_more_when_the_broker_has_failed() -> None:
    events, broker = histories(*[2] * 10), FakeBroker()
    broker.fails_at = events

    delivery = await sent(events, broker)

    assert str(delivery.outage) == "it is full"
    assert [*delivery.acknowledged, *delivery.refused, *delivery.blocked] == []
    assert 1 <= broker.asked <= 3


async def test_sends_nothing_more_when_it_may_not_go_on() -> None:
    events, broker = histories(5), FakeBroker()

    await deliver(events, broker, in_flight=3, may_go_on=lambda: len(broker.taken) < 2)

    assert broker.taken == events[:2]


async def test_many_events_go_together() -> None:
    events, broker = histories(*[2] * (ATOMIC_MIN // 2)), FakeBroker(is_atomic=True)

    delivery = await sent(events, broker)

    assert (delivery.published, broker.taken, broker.asked) == (events, events, 1)
    assert delivery.is_complete(events)


async def test_many_events_go_one_by_one_where_they_are_not_taken_together() -> None:
    events = histories(*[2] * (ATOMIC_MIN // 2))
    broker = FakeBroker(refuses=events[:1], knows=events[1:2])

    delivery = await sent(events, broker)

    assert [event for event, _ in delivery.refused] == events[:1]
    assert delivery.duplicates == events[1:2]
    assert delivery.is_complete(events)


@pytest.mark.parametrize("count", [ATOMIC_MIN - 1, ATOMIC_MAX + 1])
async def test_too_few_or_too_many_events_go_one_by_one(count: int) -> None:
    events, broker = histories(*[1] * count), FakeBroker(is_atomic=True)

    delivery = await sent(events, broker)

    assert broker.asked == len(delivery.published) == count


async def test_nothing_is_sent_after_a_batch_that_the_broker_failed_at() -> None:
    events = histories(*[1] * ATOMIC_MIN)
    broker = FakeBroker(is_atomic=True, fails_at=events)

    delivery = await sent(events, broker)

    assert str(delivery.outage) == "it is full"
    assert (delivery.acknowledged, broker.asked) == ([], 1)


async def test_no_batch_is_sent_when_it_may_not_go_on() -> None:
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


def test_parks_what_was_refused_what_is_behind_it_and_what_is_gone() -> None:
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


@pytest.mark.parametrize("status", SessionStatus)
def test_no_status_comes_twice_so_that_an_events_subject_is_its_own(status: SessionStatus) -> None:
    """On that the broker's refusal of a second message on a subject rests."""
    before = REQUIRED_STATUS.get(status)
    seen = {status}
    while before is not None:
        assert before not in seen
        seen.add(before)
        before = REQUIRED_STATUS.get(before)

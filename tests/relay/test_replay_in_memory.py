# SPDX-License-Identifier: MIT
"""A replay in memory: pages, numbers, refusals, and a turn that is lost."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest

from service.application.errors import ConnectionLost
from service.application.outbox import OutboxEvent
from service.relay.errors import BrokerUnavailable, EventConflict, EventRefused, WrongStream
from service.relay.replay import PAGE_SIZE, Replayed, replay
from tests.relay.in_memory import InMemoryTurn, World
from tests.relay.publishing import an_outbox_event
from tests.simulated_time import pass_time

pytestmark = pytest.mark.simulated_time

SINCE = datetime(2026, 1, 1, tzinfo=UTC)
LEASE = 1.0


def history(*lengths: int) -> list[OutboxEvent]:
    """Events of one session per length, one session after the other."""
    ids = [(uuid4(), length) for length in lengths]
    return [an_outbox_event(each, version + 1) for each, length in ids for version in range(length)]


@pytest.fixture
async def world() -> World:
    return World()


async def replayed(world: World, *pages: list[OutboxEvent]) -> Replayed:
    world.outbox.pages = list(pages)
    return await replay(
        InMemoryTurn(world.outbox),
        world.broker,
        world.broker.require_stream,
        since=SINCE,
        in_flight=2,
        lease=LEASE,
    )


async def test_publishes_every_page_and_counts_what_the_stream_had(world: World) -> None:
    pages = [history(2, 1), history(3)]
    world.broker.knows = pages[0][:1]

    total = await replayed(world, *pages)

    assert total == Replayed(published=5, present=1)
    assert total.is_complete
    assert sorted(world.broker.published) == sorted([*pages[0], *pages[1]])
    assert world.outbox.asked == (SINCE, PAGE_SIZE)
    assert len(world.broker.checks) == 1


async def test_publishes_nothing_to_a_wrong_stream(world: World) -> None:
    world.broker.fault = WrongStream("it discards old events")

    with pytest.raises(WrongStream):
        await replayed(world, history(1))

    assert world.broker.published == []


async def test_a_refused_event_blocks_its_session_on_all_pages_and_no_other(world: World) -> None:
    refused, other = history(6), history(2)
    world.broker.refuses[refused[1].id] = EventRefused("it is too large")

    total = await replayed(world, refused[:3], refused[3:5], [refused[5], *other])

    assert total == Replayed(published=3, refused=1, blocked=4)
    assert not total.is_complete
    assert sorted(world.broker.published) == sorted([refused[0], *other])


async def test_a_session_goes_on_on_the_next_page_after_another_session_was_refused(
    world: World,
) -> None:
    refused, other = history(2), history(2)
    world.broker.refuses[refused[0].id] = EventRefused("it is too large")

    total = await replayed(world, [*refused, other[0]], other[1:])

    assert total == Replayed(published=2, refused=1, blocked=1)
    assert world.broker.published == other


async def test_a_session_whose_first_event_ends_a_page_and_is_refused_stays_blocked(
    world: World,
) -> None:
    other, refused = history(1), history(3)
    world.broker.refuses[refused[0].id] = EventRefused("it is too large")

    total = await replayed(world, [*other, refused[0]], refused[1:])

    assert total == Replayed(published=1, refused=1, blocked=2)
    assert world.broker.published == other


async def test_counts_conflicts_on_every_page(world: World) -> None:
    pages = [history(1), history(1), history(1)]
    for [event] in pages[:2]:
        conflict = EventConflict("another event is there", subject="training", sequence=7)
        world.broker.refuses[event.id] = conflict

    assert await replayed(world, *pages) == Replayed(published=1, conflicts=2)


async def test_ends_when_the_broker_fails(world: World) -> None:
    first, second = history(1), history(1)
    world.broker.refuses[first[0].id] = BrokerUnavailable("it is down")

    with pytest.raises(BrokerUnavailable, match="it is down"):
        await replayed(world, first, second)

    assert world.broker.published == []


async def test_ends_when_its_turn_may_be_over(world: World) -> None:
    """The database ends the turn of a process that was frozen, and the relay may go on."""
    world.broker.before = lambda: pass_time(LEASE)
    events = history(4)

    with pytest.raises(ConnectionLost):
        await replayed(world, events)

    assert world.broker.published == events[:1]


@pytest.mark.parametrize(
    ("total", "is_complete"),
    [
        (Replayed(), True),
        (Replayed(published=1, present=1), True),
        (Replayed(refused=1), False),
        (Replayed(conflicts=1), False),
        (Replayed(blocked=1), False),
    ],
)
def test_is_complete_if_the_stream_holds_every_event(total: Replayed, is_complete: bool) -> None:
    assert total.is_complete is is_complete

# SPDX-License-Identifier: MIT
"""The relay in simulated time: leadership, pauses, back-off, and checks of the stream."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Any
from uuid import uuid4

import pytest
from structlog.testing import CapturingLogger

from service.application.errors import (
    CommitUnknown,
    ConnectionLost,
    DependencyUnavailable,
    TimedOut,
)
from service.application.outbox import Backlog
from service.relay import reports as reports_module
from service.relay import turn as turn_module
from service.relay.batch import BLOCKED, GONE
from service.relay.errors import BrokerUnavailable, EventConflict, EventRefused, WrongStream
from service.relay.relay import BACK_OFF_MAX_SECONDS, COUNT_EVERY_SECONDS
from tests.builders import MORNING
from tests.relay.in_memory import PACE, World, now
from tests.relay.publishing import an_outbox_event
from tests.simulated_time import pass_time

pytestmark = pytest.mark.simulated_time

DOWN = BrokerUnavailable("it is down")
SESSION_ID, ANOTHER_ID = uuid4(), uuid4()


@pytest.fixture
async def world() -> World:
    return World()


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> CapturingLogger:
    logger = CapturingLogger()
    for module in (reports_module, turn_module):
        monkeypatch.setattr(module, "log", logger)
    return logger


def states(logger: CapturingLogger) -> list[tuple[str, dict[str, Any]]]:
    return [(each.method_name, each.kwargs) for each in logger.calls if each.args == ("relay",)]


def pauses(times: list[float]) -> list[float]:
    return [round(later - earlier, 9) for earlier, later in pairwise(times)]


async def test_publishes_and_removes_events_and_polls_less_and_less_often(world: World) -> None:
    events = world.outbox.add(3)

    async with world.running():
        await asyncio.sleep(2)

    assert world.broker.published == events
    assert (world.outbox.queue, world.outbox.commits) == ([], 1)
    assert pauses(world.outbox.turns)[:5] == [0.05, 0.1, 0.2, 0.25, 0.25]
    assert len(world.outbox.leaderships) == 1


@pytest.mark.parametrize(
    "outage",
    [
        DependencyUnavailable("database", "it is down"),
        ConnectionLost("it is down"),
        TimedOut("it is down"),
        CommitUnknown("it is down"),
    ],
)
async def test_tries_a_database_that_is_down_less_often_up_to_the_longest_pause(
    world: World, logged: CapturingLogger, outage: Exception
) -> None:
    world.outbox.outage = outage

    async with world.running():
        await asyncio.sleep(10)

    assert pauses(world.outbox.leaderships) == [0.25, 0.5] + [BACK_OFF_MAX_SECONDS] * 9
    assert {each.state for each in world.observed} == {"database unavailable"}
    assert len(world.observed) == len(world.outbox.leaderships)
    expected = {"state": "database unavailable", "reason": "it is down"}
    assert states(logged) == [("warning", expected)]


@pytest.mark.parametrize("leads", [True, False])
async def test_tries_a_broker_that_is_down_less_often_up_to_the_longest_pause(
    world: World, logged: CapturingLogger, leads: bool
) -> None:
    world.broker.down, world.outbox.leads = DOWN, leads
    world.outbox.add()

    async with world.running():
        await asyncio.sleep(10)

    assert pauses(world.broker.checks) == [0.25, 0.5] + [BACK_OFF_MAX_SECONDS] * 9
    assert world.outbox.commits == len(world.broker.published) == 0
    expected = {"state": "broker unavailable", "reason": "it is down"}
    assert states(logged) == [("warning", expected)]
    assert {(each.state, each.leads) for each in world.observed} == {("broker unavailable", leads)}
    assert len(world.observed) == len(world.broker.checks)


async def test_goes_on_at_the_usual_pace_after_an_outage(world: World) -> None:
    world.outbox.outage = ConnectionLost()
    async with world.running():
        await asyncio.sleep(10)
        world.outbox.outage = None
        await asyncio.sleep(BACK_OFF_MAX_SECONDS)
        world.outbox.add()
        await asyncio.sleep(PACE.poll_max)
        began = len(world.outbox.turns)
        await asyncio.sleep(5)

    assert world.outbox.queue == []
    assert max(pauses(world.outbox.turns[began:])) == PACE.poll_max


async def test_looks_at_the_stream_once_and_again_after_each_outage(world: World) -> None:
    async with world.running():
        await asyncio.sleep(5)
        assert len(world.broker.checks) == 1
        for number in (2, 3):
            world.broker.down = DOWN
            world.outbox.add()
            await asyncio.sleep(5)
            world.broker.down = None
            await asyncio.sleep(2)
            assert world.outbox.queue == []
            checked = len(world.broker.checks)
            await asyncio.sleep(5)
            assert len(world.broker.checks) == checked >= number


async def test_ends_if_the_stream_is_wrong_after_an_outage(world: World) -> None:
    running = asyncio.create_task(world.relay().run())
    await asyncio.sleep(1)
    world.broker.down = DOWN
    events = world.outbox.add()
    await asyncio.sleep(5)
    world.broker.down, world.broker.fault = None, WrongStream("it discards old events")

    with pytest.raises(WrongStream):
        await running

    assert [each.event for each in world.outbox.queue] == events
    assert world.broker.published == []


async def test_publishes_nothing_while_the_stream_is_missing_after_an_outage(world: World) -> None:
    async with world.running():
        await asyncio.sleep(1)
        world.broker.down = DOWN
        world.outbox.add()
        await asyncio.sleep(5)
        world.broker.down, world.broker.fault = None, BrokerUnavailable("the stream is missing")
        await asyncio.sleep(10)
        assert world.broker.published == []
        world.broker.fault = None
        await asyncio.sleep(2)

    assert world.outbox.queue == []


async def test_events_acknowledged_before_an_outage_are_removed(world: World) -> None:
    session_id = an_outbox_event(SESSION_ID).session_id
    events = [an_outbox_event(session_id, version) for version in (1, 2, 3)]
    for event in events:
        world.outbox.enqueue(event)
    world.broker.refuses[events[1].id] = DOWN

    async with world.running():
        await asyncio.sleep(5)
        assert [each.event for each in world.outbox.queue] == events[1:]
        del world.broker.refuses[events[1].id]
        await asyncio.sleep(2)

    assert world.broker.published == events


async def test_stands_by_until_it_leads(world: World, logged: CapturingLogger) -> None:
    world.outbox.leads = False
    world.outbox.add()
    async with world.running():
        await asyncio.sleep(1)
        assert (world.outbox.turns, world.broker.published) == ([], [])
        assert pauses(world.outbox.leaderships) == [PACE.poll_max] * 3
        assert {each.state for each in world.observed} == {"standby"}
        world.outbox.leads = True
        await asyncio.sleep(PACE.poll_max)

    assert world.outbox.queue == []
    assert states(logged) == [("info", {"state": each}) for each in ("standby", "active")]


async def test_waits_while_an_operators_command_has_its_turn(world: World) -> None:
    world.outbox.is_free = False
    world.outbox.add()
    async with world.running():
        await asyncio.sleep(1)
        assert world.broker.published == []
        assert set(pauses(world.outbox.turns)) == {PACE.poll_max}
        world.outbox.is_free = True
        await asyncio.sleep(PACE.poll_max)

    assert world.outbox.queue == []
    assert len(world.outbox.leaderships) == 1


async def test_counts_the_queue_while_an_operators_command_has_its_turn(world: World) -> None:
    world.outbox.is_free = False
    async with world.running():
        await asyncio.sleep(1)
        world.outbox.add(30)
        await asyncio.sleep(COUNT_EVERY_SECONDS)

    first, second = world.observed
    assert (first.state, first.leads, first.seconds) == ("active", True, None)
    assert (first.pending, first.oldest_at) == (0, None)
    assert (second.pending, second.oldest_at) == (30, MORNING)
    assert max(pauses(world.steps)) == PACE.poll_max


async def test_looks_at_the_broker_again_while_an_operators_command_has_its_turn(
    world: World,
) -> None:
    world.outbox.is_free, world.broker.down = False, DOWN
    async with world.running():
        await asyncio.sleep(2 * COUNT_EVERY_SECONDS)
        assert {each.state for each in world.observed} == {"broker unavailable"}
        world.broker.down = None
        await asyncio.sleep(2 * COUNT_EVERY_SECONDS)

    assert world.observed[-1].state == "active"


async def test_gives_up_leadership_when_the_database_is_silent_for_a_lease(world: World) -> None:
    async with world.running():
        await asyncio.sleep(1)
        world.outbox.answers.clear()
        renewed = world.outbox.renewals[-1]
        silent_since = now()
        await asyncio.sleep(10)
        assert silent_since < world.outbox.turns[-1] < renewed + PACE.lease
        world.outbox.answers.set()
        await asyncio.sleep(1)
        assert world.outbox.turns[-1] > silent_since + 10

    assert len(world.outbox.leaderships) == 2


async def test_sends_no_more_events_when_the_process_was_frozen_for_a_lease(world: World) -> None:
    events = world.outbox.add(10)
    world.broker.before = lambda: pass_time(PACE.lease)

    async with world.running(replace(PACE, in_flight=1)):
        await world.outbox.committed.wait()
        assert world.broker.published == events[:1]
        world.broker.before = lambda: None
        await asyncio.sleep(1)

    assert world.broker.published == events


async def test_stops_at_once_in_a_pause_and_after_the_event_that_was_sent(world: World) -> None:
    events = world.outbox.add(10)
    relay = world.relay(replace(PACE, in_flight=1))
    world.broker.before = relay.stop
    began = now()

    await relay.run()

    assert now() == began
    assert world.broker.published == events[:1]
    assert [each.event for each in world.outbox.queue] == events[1:]


@pytest.mark.parametrize("state", ["leading", "standing by", "backing off"])
async def test_does_not_wait_for_the_end_of_a_pause_when_it_is_stopped(
    world: World, state: str
) -> None:
    world.outbox.leads = state == "leading"
    world.outbox.outage = ConnectionLost() if state == "backing off" else None
    relay = world.relay(replace(PACE, poll_min=10, poll_max=10))
    running = asyncio.create_task(relay.run())
    await asyncio.sleep(0.5)
    stopped = now()

    relay.stop()
    await running

    assert now() == stopped


async def test_counts_the_backlog_at_once_and_then_every_few_seconds(world: World) -> None:
    world.outbox.add(30)
    async with world.running():
        await asyncio.sleep(12)

    since_start = [round(each - world.outbox.counted[0], 2) for each in world.outbox.counted]
    assert len(since_start) == 3
    for number, counted in enumerate(since_start):
        earliest = number * COUNT_EVERY_SECONDS
        assert earliest <= counted <= earliest + number * PACE.poll_max
    assert world.observed[0].backlog == Backlog(pending=30, parked=0, oldest_at=MORNING)
    assert world.observed[1].backlog is None


@pytest.mark.parametrize("outage", [None, ConnectionLost()], ids=["standby", "no database"])
async def test_counts_at_once_when_it_leads_again(
    world: World, outage: ConnectionLost | None
) -> None:
    async with world.running():
        await asyncio.sleep(1)
        world.outbox.answers.clear()
        world.outbox.leads, world.outbox.outage = bool(outage), outage
        await asyncio.sleep(PACE.lease)
        world.outbox.answers.set()
        await asyncio.sleep(BACK_OFF_MAX_SECONDS)
        world.outbox.leads, world.outbox.outage = True, None
        await asyncio.sleep(BACK_OFF_MAX_SECONDS)

    assert len(world.outbox.counted) == 2
    assert world.outbox.counted[1] - world.outbox.counted[0] < COUNT_EVERY_SECONDS


@pytest.mark.parametrize(("events", "pending"), [(0, 0), (19, 19), (20, 20)])
async def test_tells_how_many_events_the_queue_held(
    world: World, events: int, pending: int
) -> None:
    world.outbox.add(events)
    async with world.running():
        await asyncio.sleep(0.01)

    assert (world.observed[0].taken, world.observed[0].pending) == (events, pending)


async def test_does_not_know_how_many_events_a_long_queue_holds_between_two_counts(
    world: World,
) -> None:
    world.outbox.add(50)
    async with world.running():
        await asyncio.sleep(0.01)

    assert [turn.pending for turn in world.observed] == [50, None, 10]


async def test_measures_a_turn(world: World) -> None:
    world.outbox.add()
    world.broker.before = lambda: pass_time(0.5)
    async with world.running():
        await asyncio.sleep(1)

    assert [round(turn.seconds or 0, 9) for turn in world.observed][:2] == [0.5, 0]


async def test_gives_a_sign_at_every_step_of_a_long_turn(world: World) -> None:
    world.outbox.add(10)
    world.broker.before = lambda: pass_time(PACE.lease / 20)
    async with world.running(replace(PACE, in_flight=1)):
        await asyncio.sleep(0.01)

    assert world.outbox.queue == []
    assert max(pauses(world.steps)) == PACE.lease / 20


async def test_parks_refused_blocked_and_deleted_events_with_their_reasons(
    world: World, logged: CapturingLogger
) -> None:
    first = an_outbox_event(SESSION_ID)
    second = first._replace(id=an_outbox_event(SESSION_ID).id, session_version=2)
    world.outbox.enqueue(first)
    world.outbox.enqueue(second)
    world.outbox.enqueue(None)
    [blocked] = [an_outbox_event(ANOTHER_ID)]
    world.outbox.enqueue(blocked, is_blocked=True)
    world.broker.refuses[first.id] = EventRefused("it is too large")

    async with world.running():
        await asyncio.sleep(1)

    assert not world.outbox.queue
    assert not world.broker.published
    parked = {each.queued.position: each.reason for each in world.outbox.parked}
    assert parked == {1: "it is too large", 2: BLOCKED, 3: GONE, 4: BLOCKED}
    assert world.observed[0].parked == 4
    reasons = sorted([BLOCKED, GONE, "it is too large"])
    [call] = [each for each in logged.calls if each.args == ("events parked",)]
    assert (call.method_name, call.kwargs) == ("warning", {"count": 4, "reasons": reasons})


async def test_parks_an_event_in_conflict_and_logs_it_once(
    world: World, logged: CapturingLogger
) -> None:
    [event, other] = world.outbox.add(2)
    conflict = EventConflict("another event is there", subject="training", sequence=7)
    world.broker.refuses[event.id] = conflict

    async with world.running():
        await asyncio.sleep(1)

    assert [(each.queued.event, each.reason) for each in world.outbox.parked] == [
        (event, "another event is there")
    ]
    assert world.broker.published == [other]
    assert (world.observed[0].parked, world.observed[0].conflicts) == (1, 1)
    assert [each for each in logged.calls if each.args == ("events parked",)] == []


async def test_parks_deleted_events_while_the_broker_is_down(world: World) -> None:
    world.broker.down = DOWN
    world.outbox.enqueue(None)
    events = world.outbox.add()

    async with world.running():
        await asyncio.sleep(1)

    assert [each.event for each in world.outbox.queue] == events
    assert [each.reason for each in world.outbox.parked] == [GONE]
    assert world.observed[0].state == "broker unavailable"


async def test_reports_what_a_turn_did(world: World) -> None:
    events = world.outbox.add(3)
    world.broker.knows = events[:1]
    world.clock = lambda: MORNING + timedelta(seconds=90)

    async with world.running():
        await asyncio.sleep(0.01)

    [turn] = world.observed
    assert (turn.state, turn.published, turn.duplicates, turn.parked) == ("active", 2, 1, 0)
    assert turn.oldest_at == MORNING
    assert turn.seconds_to_ack == [90.0, 90.0]


async def test_commits_nothing_for_an_empty_queue(world: World) -> None:
    async with world.running():
        await asyncio.sleep(5)

    assert world.outbox.commits == 0
    assert world.observed[0].oldest_at is None

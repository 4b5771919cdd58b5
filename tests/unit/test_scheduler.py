# SPDX-License-Identifier: MIT
"""The scheduler: slots, queue, expiry, retries beside the slots, and shutdown."""

import asyncio
from typing import Any

import pytest

from service.application.errors import Contended, Overloaded
from service.application.group_commit.pending import GroupMetrics
from service.application.ports import Outcome
from tests.builders import a_command
from tests.simulated_time import pass_time
from tests.unit.in_memory import (
    InMemoryDatabase,
    InMemoryUnitOfWork,
    commands_on,
    execute_together,
    hold_slot,
    results_of,
)

pytestmark = pytest.mark.simulated_time


async def test_a_command_that_finds_a_free_slot_starts_at_once_and_alone(
    database: InMemoryDatabase,
) -> None:
    commands = commands_on(database, groups_in_flight=2)
    database.gate.clear()
    tasks = [asyncio.create_task(commands.execute(a_command(database.add()))) for _ in range(2)]
    for _ in tasks:
        await database.begun.acquire()

    assert [len(group) for group in database.groups] == [1, 1]
    database.gate.set()
    await results_of(*tasks)


async def test_waiting_commands_leave_together_in_order_of_arrival_up_to_the_group_size(
    database: InMemoryDatabase,
) -> None:
    commands = commands_on(database, group_size_max=3)
    sessions = [database.add() for _ in range(5)]

    tasks = await execute_together(database, commands, *map(a_command, sessions))
    await results_of(*tasks)

    users = [session.user_id for session in sessions]
    assert database.groups[1:] == [frozenset(users[:3]), frozenset(users[3:])]
    assert [each.session.user_id for each in database.applied[1:]] == users


async def test_no_more_groups_run_than_there_are_slots(database: InMemoryDatabase) -> None:
    commands = commands_on(database, groups_in_flight=2, group_size_max=1)
    database.gate.clear()
    sessions = [database.add() for _ in range(5)]
    tasks = [asyncio.create_task(commands.execute(a_command(each))) for each in sessions]
    for _ in range(2):
        await database.begun.acquire()

    assert database.open_now == 2
    database.gate.set()
    assert all(isinstance(each, Outcome) for each in await results_of(*tasks))


async def test_every_slot_is_free_again_after_its_group(database: InMemoryDatabase) -> None:
    commands = commands_on(database, groups_in_flight=2)
    for _ in range(2):
        database.gate.clear()
        tasks = [asyncio.create_task(commands.execute(a_command(database.add()))) for _ in range(2)]
        for _ in tasks:
            await database.begun.acquire()
        database.gate.set()
        await results_of(*tasks)

    assert list(map(len, database.groups)) == [1, 1, 1, 1]


async def test_refuses_a_command_if_the_queue_is_full(database: InMemoryDatabase) -> None:
    commands = commands_on(database, queue_max=1)
    first = await hold_slot(database, commands)
    second = asyncio.create_task(commands.execute(a_command(database.add())))
    await asyncio.sleep(0)

    with pytest.raises(Overloaded):
        commands.require_room()
    with pytest.raises(Overloaded):
        await commands.execute(a_command(database.add()))

    database.gate.set()
    await results_of(first, second)
    assert len(database.applied) == 2


async def test_retries_take_room_in_the_queue(database: InMemoryDatabase) -> None:
    commands = commands_on(database, queue_max=2)
    sessions = [database.add() for _ in range(2)]
    database.held_sessions.update((each.user_id, each.id) for each in sessions)
    waiting = [asyncio.create_task(commands.execute(a_command(each))) for each in sessions]
    for _ in range(3):
        await database.begun.acquire()

    with pytest.raises(Overloaded):
        await commands.execute(a_command(database.add()))

    database.held_sessions.clear()
    await results_of(*waiting)


async def test_refuses_a_command_that_waited_too_long_and_never_begins_it(
    database: InMemoryDatabase,
) -> None:
    commands = commands_on(database, timeout=0.0)
    first = await hold_slot(database, commands)
    waiting = [commands.execute(a_command(database.add())) for _ in range(2)]

    assert [type(each) for each in await results_of(*waiting)] == [Overloaded, Overloaded]

    database.gate.set()
    await first
    await commands.close()
    assert len(database.groups) == len(database.applied) == 1


async def test_does_not_retry_a_command_whose_time_is_over(database: InMemoryDatabase) -> None:
    database.save_failures.append(Contended())

    with pytest.raises(Overloaded):
        await commands_on(database, timeout=-1.0).execute(a_command(database.add()))

    assert len(database.groups) == 1


async def test_does_not_begin_a_retry_that_expired_while_another_retry_ran(
    database: InMemoryDatabase,
) -> None:
    def take_two_minutes(_work: InMemoryUnitOfWork) -> None:
        pass_time(120)

    database.save_failures.extend([None, Contended()])
    database.commit_hooks.extend([lambda _work: None, take_two_minutes])
    group = [a_command(database.add()) for _ in range(3)]

    tasks = await execute_together(database, commands_on(database), *group)

    assert [type(each) for each in await results_of(*tasks)] == [Outcome, Overloaded, Overloaded]
    assert list(map(len, database.groups)) == [1, 3, 1]


async def test_a_caller_that_goes_away_does_not_cancel_its_command(
    database: InMemoryDatabase,
) -> None:
    commands = commands_on(database)
    first = await hold_slot(database, commands)
    second = asyncio.create_task(commands.execute(a_command(database.add())))
    await asyncio.sleep(0)

    first.cancel()
    second.cancel()
    await results_of(first, second)
    database.gate.set()
    await commands.close()

    assert len(database.applied) == 2
    assert database.open_now == 0


async def test_close_finishes_accepted_commands_and_accepts_no_more(
    database: InMemoryDatabase,
) -> None:
    commands = commands_on(database, group_size_max=1)
    first = await hold_slot(database, commands)
    second = asyncio.create_task(commands.execute(a_command(database.add())))
    await asyncio.sleep(0)

    closing = asyncio.create_task(commands.close())
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await commands.execute(a_command(database.add()))
    database.gate.set()
    await closing

    assert first.done()
    assert len(database.applied) == 2
    await second


async def test_close_waits_for_retries(database: InMemoryDatabase) -> None:
    commands = commands_on(database)
    session = database.add()
    database.held_sessions.add((session.user_id, session.id))
    waiting = asyncio.create_task(commands.execute(a_command(session)))
    for _ in range(2):
        await database.begun.acquire()

    closing = asyncio.create_task(commands.close())
    database.held_sessions.clear()
    await closing

    assert (await waiting).session.version == 2


async def test_every_group_is_observed_retries_included(database: InMemoryDatabase) -> None:
    seen: list[GroupMetrics] = []
    commands = commands_on(database, observe=seen.append)
    database.save_failures.append(Contended())

    await commands.execute(a_command(database.add()))
    await commands.close()

    assert [(len(each.waits), each.retries, each.size) for each in seen] == [(1, 0, 1), (0, 1, 1)]
    assert all(each.duration >= 0 for each in seen)


async def test_an_observer_that_raises_disturbs_no_command(database: InMemoryDatabase) -> None:
    failures: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, each: failures.append(each))

    def observe(_group: GroupMetrics) -> None:
        raise ZeroDivisionError

    commands = commands_on(database, observe=observe)
    for _ in range(3):
        assert (await commands.execute(a_command(database.add()))).session.version == 2
    await commands.close()
    await asyncio.sleep(0)

    assert [type(each["exception"]) for each in failures] == [ZeroDivisionError] * 3

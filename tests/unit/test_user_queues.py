# SPDX-License-Identifier: MIT
"""One user's flood: who is refused, who is served, and when."""

import asyncio
from collections import Counter
from typing import Any
from uuid import UUID, uuid4

import pytest

from service.application.errors import Overloaded, TooManyRequests
from service.application.group_commit import scheduler
from service.application.group_commit.user_queues import UserQueues
from service.application.ports import Outcome
from service.domain.session import Session
from tests.builders import a_command
from tests.unit.in_memory import (
    InMemoryDatabase,
    commands_on,
    execute_together,
    hold_slot,
    results_of,
)

pytestmark = pytest.mark.simulated_time

FLOODER = uuid4()
FLOOD = 5000
OTHERS = 50
DEFAULT = 32


def sessions_of(database: InMemoryDatabase, user_id: UUID, number: int) -> list[Session]:
    return [database.add(user_id=user_id) for _ in range(number)]


def kinds(results: list[Any]) -> list[type]:
    return [type(each) for each in results]


async def test_a_flood_of_5000_is_refused_and_50_others_are_served_by_the_next_group(
    database: InMemoryDatabase,
) -> None:
    commands = commands_on(database, group_size_max=256, user_queue_max=DEFAULT)
    others = [database.add() for _ in range(OTHERS)]
    flood = [a_command(each) for each in sessions_of(database, FLOODER, FLOOD)]
    behind_the_flood = [*flood, *map(a_command, others)]

    tasks = await execute_together(database, commands, *behind_the_flood)
    results = await results_of(*tasks)

    assert Counter(kinds(results[:FLOOD])) == {Outcome: DEFAULT, TooManyRequests: FLOOD - DEFAULT}
    assert set(kinds(results[FLOOD:])) == {Outcome}
    assert len(database.groups) == 2
    assert database.groups[1] == {FLOODER, *(each.user_id for each in others)}
    assert len(database.applied) == 1 + DEFAULT + OTHERS


@pytest.mark.parametrize("size", [1, 10, 64])
async def test_a_flood_delays_others_by_no_more_commands_than_one_user_may_have_waiting(
    database: InMemoryDatabase, size: int
) -> None:
    commands = commands_on(database, group_size_max=size, user_queue_max=DEFAULT)
    other = database.add()
    flood = [a_command(each) for each in sessions_of(database, FLOODER, 1000)]

    tasks = await execute_together(database, commands, *flood, a_command(other))
    await results_of(*tasks)

    users = [each.session.user_id for each in database.applied[1:]]
    assert users == [FLOODER] * DEFAULT + [other.user_id]


async def test_a_command_that_has_begun_does_not_count_as_waiting(
    database: InMemoryDatabase,
) -> None:
    commands = commands_on(database, user_queue_max=2)
    database.gate.clear()
    begun, *waiting = sessions_of(database, FLOODER, 3)
    tasks = [asyncio.create_task(commands.execute(a_command(begun)))]
    await database.begun.acquire()
    for session in waiting:
        commands.require_user_room(FLOODER)
        tasks.append(asyncio.create_task(commands.execute(a_command(session))))
        await asyncio.sleep(0)

    with pytest.raises(TooManyRequests) as refused:
        commands.require_user_room(FLOODER)
    assert refused.value.details == {"maxWaiting": 2}
    commands.require_user_room(uuid4())
    [last] = sessions_of(database, FLOODER, 1)
    with pytest.raises(TooManyRequests):
        await commands.execute(a_command(last))

    database.gate.set()
    assert kinds(await results_of(*tasks)) == [Outcome] * 3
    await commands.execute(a_command(last))
    assert len(database.applied) == 4


async def test_a_command_that_expired_in_the_queue_makes_room(database: InMemoryDatabase) -> None:
    commands = commands_on(database, user_queue_max=1, timeout=5.0)
    stuck = await hold_slot(database, commands)
    first, second = sessions_of(database, FLOODER, 2)

    assert kinds(await results_of(commands.execute(a_command(first)))) == [Overloaded]
    assert kinds(await results_of(commands.execute(a_command(second)))) == [Overloaded]

    database.gate.set()
    await stuck


async def test_a_retry_counts_as_waiting_until_it_is_answered(database: InMemoryDatabase) -> None:
    commands = commands_on(database, user_queue_max=1)
    locked, another = sessions_of(database, FLOODER, 2)
    database.held_sessions.add((FLOODER, locked.id))
    retried = asyncio.create_task(commands.execute(a_command(locked)))
    for _ in range(3):
        await database.begun.acquire()

    with pytest.raises(TooManyRequests):
        await commands.execute(a_command(another))

    database.held_sessions.clear()
    await retried
    await commands.execute(a_command(another))


async def test_a_retry_that_expired_makes_room(database: InMemoryDatabase) -> None:
    commands = commands_on(database, user_queue_max=1, timeout=5.0)
    locked, another = sessions_of(database, FLOODER, 2)
    database.held_sessions.add((FLOODER, locked.id))

    assert kinds(await results_of(commands.execute(a_command(locked)))) == [Overloaded]
    await commands.execute(a_command(another))


async def test_a_replay_counts_as_waiting(database: InMemoryDatabase) -> None:
    commands = commands_on(database, user_queue_max=1)
    command = a_command(database.add(user_id=FLOODER), idempotency_key="retry-1")
    await commands.execute(command)
    blocker = await hold_slot(database, commands)
    replay = asyncio.create_task(commands.execute(command))
    await asyncio.sleep(0)

    with pytest.raises(TooManyRequests):
        await commands.execute(command)

    database.gate.set()
    await blocker
    assert (await replay).replayed


async def test_a_full_queue_refuses_before_the_user_is_looked_at(
    database: InMemoryDatabase,
) -> None:
    commands = commands_on(database, queue_max=1, user_queue_max=1)
    blocker = await hold_slot(database, commands)
    first, second = sessions_of(database, FLOODER, 2)
    waiting = asyncio.create_task(commands.execute(a_command(first)))
    await asyncio.sleep(0)

    assert kinds(await results_of(commands.execute(a_command(second)))) == [Overloaded]

    database.gate.set()
    await results_of(blocker, waiting)


async def test_remembers_no_user_whose_commands_are_answered(
    database: InMemoryDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[UserQueues] = []

    def make(length_max: int | None) -> UserQueues:
        made.append(UserQueues(length_max))
        return made[0]

    monkeypatch.setattr(scheduler, "UserQueues", make)
    commands = commands_on(database, timeout=5.0, user_queue_max=2)
    answered, locked = database.add(), database.add()
    database.held_sessions.add((locked.user_id, locked.id))

    results = await results_of(
        *(commands.execute(a_command(each)) for each in [answered, locked, answered])
    )

    assert kinds(results)[:2] == [Outcome, Overloaded]
    assert len(made[0]) == 0

# SPDX-License-Identifier: MIT
"""The pause between two groups, in which requests that have arrived join the queue."""

import asyncio
from collections.abc import Awaitable
from typing import Any

from service.application.group_commit.gathering import PAIRS_MAX, let_grow
from service.application.ports import Outcome
from tests.builders import a_command
from tests.unit.in_memory import (
    InMemoryDatabase,
    commands_on,
    execute_together,
    hold_slot,
    results_of,
)
from tests.unit.reading import LISTS_MAX, ask, list_of, queries_on


async def grow(queue: list[int], to: int) -> None:
    """One item in every second iteration of the event loop, as from requests that arrive."""
    while len(queue) < to:
        await asyncio.sleep(0)
        queue.append(len(queue))
        await asyncio.sleep(0)


async def iterations_during(awaitable: Awaitable[Any]) -> int:
    iterations = 0

    async def count() -> None:
        nonlocal iterations
        while True:
            await asyncio.sleep(0)
            iterations += 1

    counting = asyncio.create_task(count())
    await awaitable
    counting.cancel()
    return iterations


def is_never_full() -> bool:
    return False


async def test_a_command_that_follows_the_answer_to_another_one_joins_the_next_group(
    database: InMemoryDatabase,
) -> None:
    commands = commands_on(database)
    first = await hold_slot(database, commands)
    waiting = asyncio.create_task(commands.execute(a_command(database.add())))

    async def execute_after_first() -> Outcome:
        await first
        return await commands.execute(a_command(database.add()))

    following = asyncio.create_task(execute_after_first())
    await asyncio.sleep(0)
    database.gate.set()
    await results_of(waiting, following)

    assert [len(group) for group in database.groups] == [1, 2]


async def test_commands_that_fill_a_group_do_not_wait_for_more(database: InMemoryDatabase) -> None:
    commands = commands_on(database, group_size_max=2)
    sessions = [database.add() for _ in range(4)]

    tasks = await execute_together(database, commands, *map(a_command, sessions))
    await results_of(*tasks)

    assert [len(group) for group in database.groups[1:]] == [2, 2]


async def test_lists_that_fill_a_group_by_their_rows_do_not_wait_for_more(
    database: InMemoryDatabase,
) -> None:
    queries, sessions = queries_on(database), [database.add() for _ in range(LISTS_MAX)]
    database.read_gate.clear()
    first = asyncio.create_task(ask(queries, list_of(database.add())))
    await database.begun.acquire()
    lists = [asyncio.create_task(ask(queries, list_of(each))) for each in sessions]

    async def read_after_first() -> object:
        await first
        session = database.add()
        return await queries.session(session.user_id, session.id)

    following = asyncio.create_task(read_after_first())
    await asyncio.sleep(0)
    database.read_gate.set()
    await results_of(*lists, following)

    assert [len(group) for group in database.groups] == [1, LISTS_MAX, 1]


async def test_waits_as_long_as_the_queue_grows() -> None:
    queue = [0]
    growing = asyncio.create_task(grow(queue, to=PAIRS_MAX))

    await let_grow(queue, is_never_full)

    assert growing.done()


async def test_waits_for_a_bounded_number_of_iterations_though_the_queue_grows_for_longer() -> None:
    queue = [0]
    growing = asyncio.create_task(grow(queue, to=64))

    iterations = await iterations_during(let_grow(queue, is_never_full))

    assert iterations <= 2 * PAIRS_MAX + 1
    assert not growing.done()
    await growing


async def test_waits_no_longer_than_until_there_is_a_group() -> None:
    queue = [0]
    growing = asyncio.create_task(grow(queue, to=64))

    await let_grow(queue, lambda: len(queue) >= 3)

    assert len(queue) == 3
    await growing


async def test_does_not_wait_for_requests_if_none_arrive() -> None:
    assert await iterations_during(let_grow([], is_never_full)) <= 4

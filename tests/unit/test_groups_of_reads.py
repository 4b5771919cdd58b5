# SPDX-License-Identifier: MIT
"""Reads in groups; each caller gets the answer to its own request."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from service.application.errors import DependencyUnavailable, Overloaded, TimedOut
from service.application.group_commit.pending import GroupMetrics
from service.application.group_commit.scheduler import SchedulerLimits
from service.application.ports import (
    FindSession,
    Read,
    ReadHistory,
    SessionFilter,
)
from service.application.queries import GROUP_ROWS_MAX, Queries
from service.domain.errors import SessionNotFound
from service.domain.session import Session
from tests.builders import a_command
from tests.unit.in_memory import InMemoryDatabase, commands_on, results_of
from tests.unit.reading import (
    LIMIT,
    LISTS_MAX,
    add_history,
    ask_together,
    history_of,
    list_of,
    queries_on,
    read_together,
)

pytestmark = pytest.mark.simulated_time


async def test_every_caller_of_a_group_gets_its_own_session_alone(
    database: InMemoryDatabase,
) -> None:
    mine, theirs = database.add(), database.add()
    keys = [
        (mine.user_id, mine.id),
        (theirs.user_id, theirs.id),
        (mine.user_id, theirs.id),
        (mine.user_id, mine.id),
    ]

    tasks = await read_together(database, queries_on(database), *keys)
    database.read_gate.set()
    results = await results_of(*tasks)

    assert (results[0], results[1], results[3]) == (mine, theirs, mine)
    assert isinstance(results[2], SessionNotFound)
    assert database.groups[1:] == [frozenset({mine.user_id, theirs.user_id})]


async def test_a_cancelled_read_leaves_its_neighbours_their_answer(
    database: InMemoryDatabase,
) -> None:
    sessions = [database.add() for _ in range(3)]
    keys = [(each.user_id, each.id) for each in sessions]
    tasks = await read_together(database, queries_on(database), *keys)
    tasks[1].cancel()
    database.read_gate.set()

    results = await results_of(*tasks)

    assert (results[0], results[2]) == (sessions[0], sessions[2])
    assert isinstance(results[1], asyncio.CancelledError)


async def test_a_slow_group_of_reads_delays_no_command_and_the_other_way_round(
    database: InMemoryDatabase,
) -> None:
    session, queries, commands = database.add(), queries_on(database), commands_on(database)
    [read] = await read_together(database, queries, (session.user_id, session.id))

    assert (await commands.execute(a_command(session))).session.version == 2
    assert not read.done()
    database.read_gate.set()
    database.gate.clear()
    command = asyncio.create_task(commands.execute(a_command(database.add())))
    assert (await queries.session(session.user_id, session.id)).version == 2
    assert not command.done()
    database.gate.set()
    await results_of(read, command)


@pytest.mark.parametrize("failure", [DependencyUnavailable("database"), Overloaded()])
async def test_every_read_of_a_group_learns_why_it_could_not_begin(
    database: InMemoryDatabase, failure: Exception
) -> None:
    database.open_failures.extend([None, failure])
    keys = [(uuid4(), uuid4()) for _ in range(3)]

    tasks = await read_together(database, queries_on(database), *keys)
    database.read_gate.set()
    results = await results_of(*tasks)

    assert [type(each) for each in results] == [type(failure)] * 3
    assert len(set(map(id, results))) == 3


async def test_sessions_lists_and_histories_of_several_users_share_a_transaction(
    database: InMemoryDatabase,
) -> None:
    mine, theirs = await add_history(database, 2), await add_history(database, 1)
    begun = len(database.groups)
    stolen = FindSession(mine.user_id, theirs.id)
    tasks = await ask_together(
        database,
        queries_on(database),
        list_of(mine),
        history_of(theirs),
        list_of(theirs),
        list_of(mine),
        FindSession(mine.user_id, mine.id),
        stolen,
        ReadHistory(*stolen, 0, LIMIT + 1),
    )
    database.read_gate.set()
    results = await results_of(*tasks)

    stored = [database.sessions[each.user_id, each.id] for each in (mine, theirs)]
    assert [results[0], results[2]] == [(each,) for each in stored]
    assert (results[3], results[4]) == (results[0], stored[0])
    assert [each.type for each in results[1]] == ["session_updated"]
    assert [type(each) for each in results[5:]] == [SessionNotFound] * 2
    assert database.groups[begun + 1 :] == [frozenset({mine.user_id, theirs.user_id})]


@pytest.mark.parametrize("kind", [0, 1, 2], ids=["session", "list", "history"])
@pytest.mark.parametrize("failure", [ZeroDivisionError(), TimedOut("too slow")])
async def test_a_read_that_fails_its_statement_fails_no_other(
    database: InMemoryDatabase, failure: Exception, kind: int
) -> None:
    session, other = database.add(), database.add()
    every: list[list[Read]] = [
        [FindSession(each.user_id, each.id), list_of(each), history_of(each)]
        for each in (session, other)
    ]
    harmful = every[0][kind]
    database.harmful[harmful] = failure
    requests = [*every[0], *every[1]]

    tasks = await ask_together(database, queries_on(database), *requests)
    database.read_gate.set()
    results = await results_of(*tasks)

    failed = results.pop(kind)
    assert isinstance(failed, DependencyUnavailable) or failed is failure
    expected = [session, (session,), (), other, (other,), ()]
    del expected[kind]
    assert results == expected
    assert frozenset({session.user_id}) in database.groups


@pytest.mark.parametrize("kind", [list_of, history_of])
async def test_a_list_that_waits_too_long_or_finds_the_queue_full_is_refused(
    database: InMemoryDatabase, kind: Callable[[Session], Read]
) -> None:
    queries = queries_on(database, queue_max=1, timeout=5.0)
    waiting, refused = await ask_together(
        database, queries, kind(database.add()), kind(database.add())
    )
    before = asyncio.get_running_loop().time()

    assert [type(each) for each in await results_of(refused)] == [Overloaded]
    assert asyncio.get_running_loop().time() == before
    assert [type(each) for each in await results_of(waiting)] == [Overloaded]
    assert asyncio.get_running_loop().time() == before + 5
    database.read_gate.set()


async def test_lists_for_which_a_group_has_no_room_wait_and_single_sessions_overtake_them(
    database: InMemoryDatabase,
) -> None:
    [*lists, last] = sessions = [database.add() for _ in range(LISTS_MAX + 3)]
    requests: list[Read] = [*map(list_of, lists), FindSession(last.user_id, last.id)]

    tasks = await ask_together(database, queries_on(database), *requests)
    database.read_gate.set()
    await results_of(*tasks)

    late = frozenset(each.user_id for each in lists[LISTS_MAX:])
    assert database.groups[1:] == [frozenset(each.user_id for each in sessions) - late, late]


async def test_a_read_of_more_rows_than_a_group_may_have_is_a_group_of_its_own(
    database: InMemoryDatabase,
) -> None:
    users, queries = [database.add().user_id for _ in range(3)], queries_on(database)
    await read_together(database, queries)
    asked: dict[str, Any] = {"wanted": SessionFilter(), "after": None, "limit": GROUP_ROWS_MAX}

    reading = asyncio.gather(*(queries.sessions(user_id, **asked) for user_id in users))
    await asyncio.sleep(0)
    database.read_gate.set()

    assert [[each.user_id for each in page.items] for page in await reading] == [
        [each] for each in users
    ]
    assert database.groups[1:] == [frozenset({user_id}) for user_id in users]


async def test_every_group_of_reads_is_observed(database: InMemoryDatabase) -> None:
    seen = list[GroupMetrics]()
    limits = SchedulerLimits(groups_in_flight=1, group_size_max=9, queue_max=9, timeout=1)
    queries = Queries(database.run_read, limits, seen.append)
    session = database.add()

    await queries.session(session.user_id, session.id)
    await queries.close()

    assert [each.size for each in seen] == [1]

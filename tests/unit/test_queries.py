# SPDX-License-Identifier: MIT
"""Reads of single sessions in groups; each caller gets its own session or none."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest

from service.application.errors import ConnectionLost, DependencyUnavailable, Overloaded, TimedOut
from service.application.group_commit.pending import GroupMetrics
from service.application.group_commit.scheduler import SchedulerLimits
from service.application.ports import HistoryEvent, SessionFilter
from service.application.queries import Queries
from service.domain.errors import SessionNotFound
from service.domain.session import Session
from tests.builders import A_MINUTE, MORNING, a_command, a_session
from tests.unit.in_memory import InMemoryDatabase, commands_on, results_of

pytestmark = pytest.mark.simulated_time


def queries_on(database: InMemoryDatabase, **overrides: Any) -> Queries:
    limits: dict[str, Any] = {
        "groups_in_flight": 1,
        "group_size_max": 100,
        "queue_max": 1000,
        "timeout": 60.0,
    }
    return Queries(database.run_read, SchedulerLimits(**limits | overrides))


async def read_together(
    database: InMemoryDatabase, queries: Queries, *keys: tuple[Any, Any]
) -> list[asyncio.Task[Session]]:
    """Reads the sessions in one group, behind a read of another session that holds the slot."""
    database.read_gate.clear()
    other = database.add()
    tasks = [
        asyncio.create_task(queries.session(*key)) for key in [(other.user_id, other.id), *keys]
    ]
    await database.begun.acquire()
    return tasks[1:]


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


async def test_a_lost_connection_is_tried_once_more(database: InMemoryDatabase) -> None:
    session = database.add()
    database.open_failures.append(ConnectionLost())

    assert await queries_on(database).session(session.user_id, session.id) == session
    database.open_failures.append(ConnectionLost())
    page = await queries_on(database).sessions(
        session.user_id, SessionFilter(), after=None, limit=20
    )
    assert page.items == (session,)


@pytest.mark.parametrize(
    "failures",
    [[ConnectionLost(), ConnectionLost("it is down")], [TimedOut("it is down")]],
)
async def test_a_read_that_fails_says_that_the_database_is_unavailable(
    database: InMemoryDatabase, failures: list[Exception]
) -> None:
    database.open_failures.extend(failures)

    with pytest.raises(DependencyUnavailable) as unavailable:
        await queries_on(database).session(uuid4(), uuid4())

    assert (unavailable.value.dependency, unavailable.value.cause) == ("database", "it is down")
    assert unavailable.value.__cause__ is failures[-1]


async def test_a_bug_reaches_the_caller_of_the_read(database: InMemoryDatabase) -> None:
    database.open_failures.append(ZeroDivisionError())

    with pytest.raises(ZeroDivisionError):
        await queries_on(database).session(uuid4(), uuid4())


async def test_a_history_of_no_session_is_not_found(database: InMemoryDatabase) -> None:
    with pytest.raises(SessionNotFound):
        await queries_on(database).history(uuid4(), uuid4(), after=None, limit=20)


class Recorder:
    """A reader that notes what it is asked for, and finds as much as it may."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.most = 100

    async def run_read(self, users: frozenset[UUID], read: Callable[[Any], Any]) -> Any:
        self.asked.append((users,))
        return read(self)

    def newest(self, *asked: Any) -> list[Session]:
        self.asked.append(asked)
        return [
            a_session(session_date=MORNING - number * A_MINUTE)
            for number in range(min(asked[-1], self.most))
        ]

    def history(self, *asked: Any) -> list[HistoryEvent]:
        self.asked.append(asked)
        return [
            HistoryEvent(
                id=uuid4(),
                type="session_started",
                session_version=version,
                occurred_at=MORNING,
                data={},
            )
            for version in range(asked[-2] + 1, asked[-2] + 1 + asked[-1])
        ]


@pytest.mark.parametrize("after", [None, (MORNING, uuid4())])
async def test_a_list_reads_one_session_more_than_its_page_to_know_whether_more_follow(
    after: Any,
) -> None:
    recorder, user_id, wanted = Recorder(), uuid4(), SessionFilter()

    page = await queries_of(recorder).sessions(user_id, wanted, after=after, limit=3)

    assert recorder.asked == [(frozenset({user_id}),), (user_id, wanted, after, 4)]
    assert len(page.items) == 3
    assert page.next == (page.items[-1].session_date, page.items[-1].id)


@pytest.mark.parametrize(("after", "least"), [(None, 0), (0, 0), (7, 7)])
async def test_a_history_reads_one_event_more_than_its_page(after: int | None, least: int) -> None:
    recorder, user_id, session_id = Recorder(), uuid4(), uuid4()

    page = await queries_of(recorder).history(user_id, session_id, after=after, limit=2)

    assert recorder.asked == [(frozenset({user_id}),), (user_id, session_id, least, 3)]
    assert [each.session_version for each in page.items] == [least + 1, least + 2]
    assert page.next == least + 2


def queries_of(recorder: Recorder) -> Queries:
    limits = SchedulerLimits(groups_in_flight=1, group_size_max=1, queue_max=1, timeout=1)
    return Queries(recorder.run_read, limits)


@pytest.mark.parametrize("found", [0, 1, 2])
async def test_a_page_that_ends_the_list_names_no_next_one(found: int) -> None:
    recorder = Recorder()
    recorder.most = found

    page = await queries_of(recorder).sessions(uuid4(), SessionFilter(), after=None, limit=2)

    assert (len(page.items), page.next) == (found, None)


@pytest.mark.parametrize(
    "failures", [[ConnectionLost(), ConnectionLost("down")], [TimedOut("down")]]
)
async def test_a_list_that_fails_says_that_the_database_is_unavailable(
    database: InMemoryDatabase, failures: list[Exception]
) -> None:
    database.open_failures.extend(failures)

    with pytest.raises(DependencyUnavailable) as unavailable:
        await queries_on(database).history(uuid4(), uuid4(), after=None, limit=20)

    assert (unavailable.value.dependency, unavailable.value.cause) == ("database", "down")
    assert unavailable.value.__cause__ is failures[-1]


async def test_every_group_of_reads_is_observed(database: InMemoryDatabase) -> None:
    seen = list[GroupMetrics]()
    limits = SchedulerLimits(groups_in_flight=1, group_size_max=9, queue_max=9, timeout=1)
    queries = Queries(database.run_read, limits, seen.append)
    session = database.add()

    await queries.session(session.user_id, session.id)
    await queries.close()

    assert [each.size for each in seen] == [1]

# SPDX-License-Identifier: MIT
"""Reads: pages, errors, and what is retried."""

from uuid import uuid4

import pytest

from service.application.errors import ConnectionLost, DependencyUnavailable, TimedOut
from service.application.ports import (
    SessionFilter,
)
from service.domain.errors import SessionNotFound
from tests.builders import A_MINUTE, MORNING
from tests.unit.in_memory import InMemoryDatabase
from tests.unit.reading import (
    add_history,
    queries_on,
)

pytestmark = pytest.mark.simulated_time


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


@pytest.mark.parametrize(("first", "last"), [(0, 3), (3, 6), (6, 7)])
async def test_a_list_names_its_last_session_as_the_next_position_if_more_follow(
    database: InMemoryDatabase, first: int, last: int
) -> None:
    user_id = uuid4()
    sessions = [
        database.add(user_id=user_id, session_date=MORNING - number * A_MINUTE)
        for number in range(7)
    ]
    before = sessions[first - 1]
    after = (before.session_date, before.id) if first else None

    page = await queries_on(database).sessions(user_id, SessionFilter(), after=after, limit=3)

    assert page.items == tuple(sessions[first:last])
    ends = last == len(sessions)
    assert page.next == (None if ends else (page.items[-1].session_date, page.items[-1].id))


@pytest.mark.parametrize(
    ("after", "versions", "following"),
    [(None, [1, 2], 2), (0, [1, 2], 2), (2, [3, 4], None), (4, [], None)],
)
async def test_a_history_names_its_last_version_as_the_next_position_if_more_follow(
    database: InMemoryDatabase, after: int | None, versions: list[int], following: int | None
) -> None:
    session = await add_history(database, 4)

    page = await queries_on(database).history(session.user_id, session.id, after=after, limit=2)

    assert [each.session_version for each in page.items] == versions
    assert page.next == following


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

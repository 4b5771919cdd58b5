# SPDX-License-Identifier: MIT
"""The bound on the connections of a worker."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from service.http.connection.pool import SPARE
from tests.http.bare import (
    HOST,
    LIVEZ,
    BareConnection,
    a_bare_app,
    a_post,
    assert_refuses,
    connected,
)
from tests.running import App, TestDatabase, eventually
from tests.system.processes import LONG_TIME_LIMITS

pytestmark = pytest.mark.both_loops

MAX = 3


@pytest.fixture
async def app(database: TestDatabase) -> AsyncIterator[App]:
    settings = {"connections_max": MAX, "groups_in_flight": MAX, **LONG_TIME_LIMITS}
    async with a_bare_app(database_url=database.api_url, **settings) as app:
        yield app


@asynccontextmanager
async def an_answered_connection(app: App) -> AsyncIterator[BareConnection]:
    """A connection that has been answered, and is idle."""
    async with connected(app) as connection:
        assert await _is_answered(connection)
        yield connection


async def _is_answered(connection: BareConnection) -> bool:
    await connection.send(LIVEZ)
    return (await connection.answer()).status == 200


async def test_keeps_as_many_connections_as_allowed(app: App) -> None:
    async with AsyncExitStack() as stack:
        kept = [await stack.enter_async_context(an_answered_connection(app)) for _ in range(MAX)]

        assert [await _is_answered(each) for each in kept] == [True] * MAX


async def test_a_new_connection_takes_the_place_of_the_one_that_was_idle_longest(app: App) -> None:
    async with AsyncExitStack() as stack:
        kept = [await stack.enter_async_context(an_answered_connection(app)) for _ in range(MAX)]
        assert await _is_answered(kept[0])  # so the second was idle longest
        new = await stack.enter_async_context(an_answered_connection(app))

        assert await kept[1].rest() == b""
        assert [await _is_answered(each) for each in (kept[0], kept[2], new)] == [True] * 3


WAITING = {
    "nothing": b"",
    "half a head": LIVEZ[:-2],
    "half a body": a_post(b"Content-Length: 20"),
    "half a body after its answer": b"POST /sessions HTTP/1.1\r\nContent-Length: 9\r\n" + HOST
    + b"\r\n",
}  # fmt: skip


@pytest.mark.parametrize("sent", WAITING.values(), ids=WAITING)
async def test_connections_that_wait_for_their_clients_make_room(app: App, sent: bytes) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(3 * MAX):
            connection = await stack.enter_async_context(connected(app))
            await connection.send(sent)
        new = await stack.enter_async_context(connected(app))

        assert await _is_answered(new)


@asynccontextmanager
async def busy_connections(app: App, database: TestDatabase) -> AsyncIterator[list[BareConnection]]:
    """As many connections as allowed; their commands wait for a lock until the block ends.

    Each has also begun its next request, which must not make it a connection that waits.
    """
    sessions = [await database.a_session() for _ in range(MAX)]
    async with AsyncExitStack() as stack:
        connections = [await stack.enter_async_context(connected(app)) for _ in range(MAX)]
        async with database.connection.transaction():
            await database.execute("LOCK TABLE sessions")
            for connection, session in zip(connections, sessions, strict=True):
                await connection.send(a_post(session=session) + LIVEZ[:9])
            await eventually(lambda: _all_wait(database))
            yield connections

        assert [(await each.answer()).status for each in connections] == [200] * MAX


async def _all_wait(database: TestDatabase) -> bool:
    waiting = await database.value("SELECT count(*) FROM pg_locks WHERE NOT granted")
    return bool(waiting == MAX)


async def test_answers_health_checks_while_every_connection_is_busy(
    app: App, database: TestDatabase
) -> None:
    async with busy_connections(app, database), AsyncExitStack() as stack:
        new = [await stack.enter_async_context(connected(app)) for _ in range(4)]
        await new[0].send(LIVEZ)
        await new[1].send(b"GET /livez?probe HTTP/1.1\r\n" + HOST + b"\r\n")
        for each in new[2:]:
            await each.send(b"GET /sessions HTTP/1.1\r\nX-Request-Id: a\r\n" + HOST + b"\r\n")

        assert [(await each.answer()).status for each in new[:2]] == [200, 200]
        for each in new[2:]:
            answer = await each.answer()
            assert_refuses(answer, 503, "OVERLOADED")
            assert (answer.headers["retry-after"], answer.headers["x-request-id"]) == ("1", "a")


async def test_closes_the_oldest_spare_connection_beyond_their_number(
    app: App, database: TestDatabase
) -> None:
    async with busy_connections(app, database), AsyncExitStack() as stack:
        spare = [await stack.enter_async_context(connected(app)) for _ in range(SPARE + 1)]

        assert await spare[0].rest() == b""
        assert await _is_answered(spare[-1])


async def test_serves_a_spare_connection_once_there_is_room(
    app: App, database: TestDatabase
) -> None:
    async with AsyncExitStack() as stack:
        async with busy_connections(app, database):
            spare = await stack.enter_async_context(connected(app))
            await spare.send(b"GET /nowhere HTTP/1.1\r\n" + HOST)
        # The block has closed the busy connections.
        await eventually(lambda: _has_room(app))

        await spare.send(b"\r\n")
        assert (await spare.answer()).status == 404


async def _has_room(app: App) -> bool:
    async with connected(app) as connection:
        await connection.send(b"GET /nowhere HTTP/1.1\r\n" + HOST + b"\r\n")
        return (await connection.answer()).status == 404

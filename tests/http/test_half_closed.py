"""Clients that end their sending half, as `nc -N` and some libraries do, and wait for answers."""

from collections.abc import AsyncIterator

import pytest

from tests.http.bare import (
    LIVEZ,
    BareConnection,
    a_bare_app,
    a_post,
    assert_refuses,
    connected,
)
from tests.running import App, TestDatabase, eventually

pytestmark = pytest.mark.both_loops


@pytest.fixture
async def app() -> AsyncIterator[App]:
    async with a_bare_app() as app:
        yield app


async def _finish(connection: BareConnection, *parts: bytes) -> None:
    await connection.send(*parts)
    connection.writer.write_eof()


async def test_answers_a_whole_request_and_closes(app: App) -> None:
    async with connected(app) as connection:
        await _finish(connection, LIVEZ)

        assert (await connection.answer()).status == 200
        assert await connection.rest() == b""


@pytest.mark.parametrize("late", [False, True], ids=["at once", "while it is executed"])
async def test_answers_an_executed_command(database: TestDatabase, late: bool) -> None:
    session = await database.a_session()
    async with a_bare_app(database_url=database.api_url) as app, connected(app) as connection:
        async with database.connection.transaction():
            await database.execute("LOCK TABLE sessions")
            await connection.send(a_post(b"Content-Length: 2", session=session), b"{}")
            if not late:
                connection.writer.write_eof()
            await eventually(lambda: _somebody_waits(database))
            connection.writer.write_eof()

        answer = await connection.answer()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert await connection.rest() == b""
    assert len(await database.events(session)) == 1


async def _somebody_waits(database: TestDatabase) -> bool:
    return bool(await database.value("SELECT count(*) FROM pg_locks WHERE NOT granted"))


@pytest.mark.parametrize("count", [2, 3, 500])
async def test_answers_all_pipelined_requests(app: App, count: int) -> None:
    async with connected(app) as connection:
        await _finish(connection, LIVEZ * count)

        answers = [(await connection.answer()).status for _ in range(count)]
        assert answers == [200] * count
        assert await connection.rest() == b""


HALVES = {
    "half a head": LIVEZ[:-2],
    "half a body": a_post(b"Content-Length: 20") + b"{",
    "no last chunk": a_post(b"Transfer-Encoding: chunked") + b"2\r\n{}\r\n",
    "nothing": b"",
    "empty lines": b"\r\n\r\n",
}


@pytest.mark.parametrize("half", HALVES.values(), ids=HALVES)
async def test_closes_without_an_answer_to_half_a_request(app: App, half: bytes) -> None:
    async with connected(app) as connection:
        await _finish(connection, half)

        assert await connection.rest() == b""


async def test_answers_whole_requests_before_half_a_request(app: App) -> None:
    async with connected(app) as connection:
        await _finish(connection, LIVEZ * 2 + LIVEZ[:-2])

        assert [(await connection.answer()).status for _ in range(2)] == [200, 200]
        assert await connection.rest() == b""


async def test_does_not_execute_half_a_request(database: TestDatabase) -> None:
    session = await database.a_session()
    async with a_bare_app(database_url=database.api_url) as app, connected(app) as connection:
        await _finish(connection, a_post(b"Content-Length: 3", session=session), b"{}")

        assert await connection.rest() == b""
    assert await database.events() == []


async def test_refuses_a_malformed_request(app: App) -> None:
    async with connected(app) as connection:
        await _finish(connection, LIVEZ + b"shoulder pain\r\n\r\n")

        assert (await connection.answer()).status == 200
        assert_refuses(await connection.answer(), 400, "BAD_REQUEST")
        assert await connection.rest() == b""


async def test_a_half_closed_connection_that_was_answered_before_is_closed(app: App) -> None:
    async with connected(app) as connection:
        await connection.send(LIVEZ)
        assert (await connection.answer()).status == 200
        connection.writer.write_eof()

        assert await connection.rest() == b""

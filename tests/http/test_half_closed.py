# SPDX-License-Identifier: MIT
"""Clients that end their sending half, as `nc -N` and some libraries do, and wait for answers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.http.bare import (
    HOST,
    LIVEZ,
    BareConnection,
    a_bare_app,
    a_post,
    assert_refuses,
    connected,
)
from tests.running import App, TestDatabase, eventually, serving, test_settings

pytestmark = pytest.mark.both_loops


@dataclass
class Served:
    url: str


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


async def test_closes_if_the_client_ended_before_its_request_was_read() -> None:
    asked, gate = asyncio.Event(), asyncio.Event()

    async def echo(request: Request) -> Response:
        asked.set()
        await gate.wait()
        return Response(await request.body())

    routes = [Route("/echo", echo, methods=["POST"]), Route("/livez", lambda _: Response())]
    async with _served(Starlette(routes=routes)) as app, connected(app) as connection:
        head = b"POST /echo HTTP/1.1\r\nContent-Length: 4\r\n" + HOST + b"\r\n"
        await connection.send(head)
        await asked.wait()
        await _finish(connection, b"knee")
        await _has_read_what_came_before(app)
        gate.set()

        answer = await connection.answer()
        assert (answer.body, answer.headers["connection"]) == (b"knee", "close")
        assert await connection.rest() == b""


@asynccontextmanager
async def _served(app: Starlette) -> AsyncIterator[Served]:
    async with serving(app, test_settings(database_url="postgresql://unused/unused")) as url:
        yield Served(url)


async def _has_read_what_came_before(app: Served) -> None:
    """The server reads what has arrived on its connections in turn."""
    async with connected(app) as other:
        await other.send(LIVEZ)
        assert (await other.answer()).status == 200


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

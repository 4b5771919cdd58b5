# SPDX-License-Identifier: MIT
"""The time that a client may take. Every test waits for the server to act, and measures no time."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from service.bootstrap.api import create_app
from tests.conformance import describing
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
from tests.system.processes import LONG_TIME_LIMITS

pytestmark = pytest.mark.both_loops

START = b"GET /livez HTTP/1.1\r\n" + HOST
SOON = 0.05
LIMITS = ("first_byte_timeout", "head_timeout", "body_timeout", "send_timeout", "keep_alive")


@asynccontextmanager
async def an_app(**settings: Any) -> AsyncIterator[App]:
    """All time limits but the given ones are so long that they end no test."""
    long = {f"{name}_seconds": 3600 for name in LIMITS}
    async with a_bare_app(**long | settings) as app:
        yield app


@asynccontextmanager
async def dripping(connection: BareConnection, drop: bytes) -> AsyncIterator[None]:
    """Sends a drop again and again, as long as the server takes it."""

    async def drip() -> None:
        with suppress(ConnectionError):
            while True:
                await connection.send(drop)
                await asyncio.sleep(0.001)

    task = asyncio.create_task(drip())
    try:
        yield
    finally:
        task.cancel()


@pytest.mark.parametrize("sent", [b"", b"\r\n", b"\r\n\r\n"])
async def test_closes_a_connection_that_begins_no_request(sent: bytes) -> None:
    async with an_app(first_byte_timeout_seconds=SOON) as app, connected(app) as connection:
        await connection.send(sent)

        assert await connection.rest() == b""


async def test_closes_a_connection_that_drips_empty_lines() -> None:
    async with (
        an_app(first_byte_timeout_seconds=SOON) as app,
        connected(app) as connection,
        dripping(connection, b"\r\n"),
    ):
        assert await connection.rest() == b""


@pytest.mark.parametrize(
    "head",
    [b"G", b"GET", b"GET /livez", START[:-2], START, START + b"X-Gym", START + b"X-Gym: a\r\n"],
)
async def test_returns_408_when_the_head_does_not_end(head: bytes) -> None:
    async with an_app(head_timeout_seconds=SOON) as app, connected(app) as connection:
        await connection.send(head)

        answer = await connection.answer()
        assert_refuses(answer, 408, "REQUEST_TIMEOUT")
        assert answer.error["details"]["part"] == "headers"
        assert answer.error["details"]["timeoutSeconds"] == SOON
        assert await connection.rest() == b""


@pytest.mark.parametrize("drop", [b"x", b"a: b\r\n"])
async def test_returns_408_when_the_head_drips(drop: bytes) -> None:
    async with (
        an_app(head_timeout_seconds=SOON) as app,
        connected(app) as connection,
    ):
        await connection.send(START + b"X-Gym: x\r\n")
        async with dripping(connection, drop):
            answer = await connection.answer()
        assert answer.status in {408, 431}  # it may reach 100 headers before


async def test_returns_408_when_a_later_head_does_not_end() -> None:
    async with an_app(head_timeout_seconds=SOON) as app, connected(app) as connection:
        await connection.send(LIVEZ + LIVEZ + START)

        assert [(await connection.answer()).status for _ in range(3)] == [200, 200, 408]
        assert await connection.rest() == b""


BODIES = {
    "none of it": (b"Content-Length: 20", b""),
    "half of it": (b"Content-Length: 20", b'{"reason":'),
    "no chunk": (b"Transfer-Encoding: chunked", b""),
    "half a chunk": (b"Transfer-Encoding: chunked", b"a\r\n{"),
    "no last chunk": (b"Transfer-Encoding: chunked", b"2\r\n{}\r\n"),
    "half the trailers": (b"Transfer-Encoding: chunked", b"2\r\n{}\r\n0\r\na: b\r\n"),
}


@pytest.mark.parametrize(("header", "body"), BODIES.values(), ids=BODIES)
async def test_returns_408_when_the_body_does_not_end(header: bytes, body: bytes) -> None:
    async with an_app(body_timeout_seconds=SOON) as app, connected(app) as connection:
        await connection.send(a_post(header), body)

        answer = await connection.answer()
        assert_refuses(answer, 408, "REQUEST_TIMEOUT")
        assert answer.error["details"]["part"] == "body"
        assert await connection.rest() == b""


async def test_returns_408_when_the_body_drips() -> None:
    async with an_app(body_timeout_seconds=SOON) as app, connected(app) as connection:
        await connection.send(a_post(b"Content-Length: 9000"))
        async with dripping(connection, b" "):
            assert_refuses(await connection.answer(), 408, "REQUEST_TIMEOUT")


async def test_returns_408_after_100_continue_without_a_body() -> None:
    async with an_app(body_timeout_seconds=SOON) as app, connected(app) as connection:
        await connection.send(a_post(b"Content-Length: 20", b"Expect: 100-continue"))

        assert (await connection.answer()).status == 100
        assert_refuses(await connection.answer(), 408, "REQUEST_TIMEOUT")


async def test_closes_a_connection_whose_body_does_not_end_after_the_answer() -> None:
    head = b"POST /sessions HTTP/1.1\r\nContent-Length: 20\r\n" + HOST + b"\r\n"
    async with an_app(body_timeout_seconds=SOON) as app, connected(app) as connection:
        await connection.send(head + b"{")

        assert (await connection.answer()).status == 401
        assert await connection.rest() == b""


async def test_closes_a_connection_whose_body_is_endless_after_the_answer() -> None:
    head = b"POST /sessions HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + HOST + b"\r\n"
    async with (
        an_app() as app,
        connected(app) as connection,
    ):
        await connection.send(head)
        assert (await connection.answer()).status == 401
        async with dripping(connection, b"10000\r\n" + b"x" * 65536 + b"\r\n"):
            assert await connection.rest() == b""


async def test_a_body_that_is_too_large_is_refused_once_and_read_to_its_end() -> None:
    async with an_app() as app, connected(app) as connection:
        await connection.send(a_post(b"Content-Length: 200000"), b" " * 200_000, LIVEZ)

        assert (await connection.answer()).status == 413
        assert (await connection.answer()).status == 200


async def test_closes_an_idle_connection() -> None:
    async with an_app(keep_alive_seconds=SOON) as app, connected(app) as connection:
        await connection.send(LIVEZ)

        assert (await connection.answer()).status == 200
        assert await connection.rest() == b""


async def test_an_idle_connection_that_drips_empty_lines_is_closed() -> None:
    async with an_app(keep_alive_seconds=SOON) as app, connected(app) as connection:
        await connection.send(LIVEZ)
        assert (await connection.answer()).status == 200
        async with dripping(connection, b"\r\n"):
            assert await connection.rest() == b""


async def test_a_request_that_is_executed_has_no_time_limit_of_a_client(
    database: TestDatabase,
) -> None:
    """The other connection, which becomes idle later, shows that the time limits are over."""
    session = await database.a_session()
    soon = {f"{name}_seconds": SOON for name in LIMITS if name != "first_byte_timeout"}
    limits = {**soon, **LONG_TIME_LIMITS}
    async with an_app(database_url=database.api_url, **limits) as app, connected(app) as waiting:
        async with database.connection.transaction():
            await database.execute("LOCK TABLE sessions")
            await waiting.send(a_post(session=session))
            await eventually(lambda: _somebody_waits(database))
            async with connected(app) as idle:
                await idle.send(LIVEZ)
                assert (await idle.answer()).status == 200
                assert await idle.rest() == b""

        assert (await waiting.answer()).status == 200


async def _somebody_waits(database: TestDatabase) -> bool:
    waiting = await database.value("SELECT count(*) FROM pg_locks WHERE NOT granted")
    return bool(waiting)


async def test_aborts_a_connection_whose_client_reads_no_answer() -> None:
    """The server reads no more requests, and then ends the connection."""
    loop = asyncio.get_running_loop()
    async with an_app(send_timeout_seconds=SOON) as app:
        url = urlsplit(app.url)
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.setblocking(False)
            await loop.sock_connect(client, (url.hostname, url.port))

            with pytest.raises(ConnectionError):
                while True:
                    await loop.sock_sendall(client, LIVEZ * 100)


SMALL_BUFFER = 4096
ENDINGS = {
    "idle": (LIVEZ, {"keep_alive_seconds": SOON}),
    "a request that closes": (LIVEZ.replace(HOST, HOST + b"Connection: close\r\n"), {}),
    "a malformed request": (b"shoulder pain\r\n\r\n", {}),
}


@pytest.mark.parametrize("half_closed", [False, True])
@pytest.mark.parametrize(("last", "limits"), ENDINGS.values(), ids=ENDINGS)
async def test_aborts_a_closing_connection_whose_client_reads_no_answer(
    last: bytes, limits: dict[str, float], half_closed: bool
) -> None:
    """The answers fit into no buffer of the system, and are too few to stop the server."""
    long = {f"{name}_seconds": 3600 for name in LIMITS}
    settings = test_settings(
        database_url="postgresql://unused/unused", **long | {"send_timeout_seconds": SOON} | limits
    )
    loop = asyncio.get_running_loop()
    app = create_app(settings)
    async with serving(describing(app, None), settings, send_buffer_bytes=SMALL_BUFFER) as url:
        port = urlsplit(url).port
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
            client.setblocking(False)
            await loop.sock_connect(client, ("127.0.0.1", port))
            await eventually(lambda: _has_connection(port))
            await loop.sock_sendall(client, LIVEZ * 200 + last)
            if half_closed:
                client.shutdown(socket.SHUT_WR)

            await eventually(lambda: _has_no_connection(port))


async def _has_connection(port: int | None) -> bool:
    """True if this process has a connection on the server's side."""
    connections = psutil.Process().net_connections("tcp")
    return any(each.laddr.port == port and each.raddr for each in connections)


async def _has_no_connection(port: int | None) -> bool:
    return not await _has_connection(port)


async def test_a_client_that_reads_slowly_gets_every_answer() -> None:
    count = 4000
    async with an_app() as app, connected(app) as connection:
        sending = asyncio.create_task(connection.send(*[LIVEZ * 100] * (count // 100)))
        answers = [(await connection.answer()).status for _ in range(count)]
        await sending

    assert answers == [200] * count

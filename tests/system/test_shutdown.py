# SPDX-License-Identifier: MIT
"""SIGTERM to `serve`: every request that has begun is answered, whatever its connection does.

While a process is stopped (SIGSTOP), the system goes on accepting connections and requests for it,
so that a test decides what the process finds when it handles SIGTERM.
"""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from urllib.parse import urlsplit

import psutil
import pytest

from tests.builders import NOWHERE
from tests.freezing import frozen, will_find
from tests.http.bare import (
    HOST,
    LIVEZ,
    BareConnection,
    a_post,
    assert_refuses,
    connected,
)
from tests.running import App, TestDatabase, eventually
from tests.system.processes import Process, a_service

WORKERS = pytest.mark.parametrize("workers", ["1", "2"])
CONNECTIONS = 40
BODY = b'{"reason": "knee hurts"}'
OPENAPI = b"GET /openapi.json HTTP/1.1\r\n" + HOST + b"\r\n"


@asynccontextmanager
async def stopped(process: Process) -> AsyncIterator[list[int]]:
    """Stops the processes that listen, and returns them: the workers, or the only process."""
    main = psutil.Process(process.running.pid)
    workers = [each.pid for each in main.children() if "spawn_main" in " ".join(each.cmdline())]
    listening = workers or [main.pid]
    async with frozen(*listening):
        yield listening


async def terminate(process: Process, stopped: list[int]) -> None:
    """Sends SIGTERM, and waits until the stopped processes will find it when they go on.

    The workers get theirs from the process that started them.
    """
    process.signal(signal.SIGTERM)
    await eventually(lambda: _all_will_find_sigterm(stopped))


async def _all_will_find_sigterm(stopped: list[int]) -> bool:
    return all(will_find(each, signal.SIGTERM) for each in stopped)


async def has_read_what_came_before(app: App) -> None:
    """A server reads what has arrived on its connections in turn."""
    async with connected(app) as other:
        await other.send(LIVEZ)
        assert (await other.answer()).status == 200


async def an_idle_connection(stack: AsyncExitStack, app: App) -> BareConnection:
    connection = await stack.enter_async_context(connected(app))
    await connection.send(LIVEZ)
    assert "connection" not in (await connection.answer()).headers
    return connection


async def assert_last(connection: BareConnection, *, requests: int = 1) -> None:
    """So many answers, of which the last one alone says that it is the last."""
    answers = [await connection.answer() for _ in range(requests)]
    assert [each.status for each in answers] == [200] * requests
    assert [each.headers.get("connection") for each in answers] == [None] * (requests - 1) + [
        "close"
    ]
    assert await connection.reader.read() == b""
    connection.writer.close()


@WORKERS
@pytest.mark.parametrize("notice", ["0", "0.2"])
async def test_answers_requests_that_arrived_before_sigterm_and_were_not_read(
    workers: str, notice: str
) -> None:
    settings = {"workers": workers, "shutdown_notice_seconds": notice}
    async with a_service(NOWHERE, **settings) as (process, app), AsyncExitStack() as stack:
        idle = [await an_idle_connection(stack, app) for _ in range(CONNECTIONS)]
        async with stopped(process) as listening:
            new = [await stack.enter_async_context(connected(app)) for _ in range(CONNECTIONS)]
            for connection in (*idle, *new):
                await connection.send(LIVEZ)
            await terminate(process, listening)

        for connection in (*idle, *new):
            await assert_last(connection)
        assert await process.end() == 0


@WORKERS
async def test_answers_all_pipelined_requests_after_sigterm(workers: str) -> None:
    async with a_service(NOWHERE, workers=workers) as (process, app), AsyncExitStack() as stack:
        connections = [await an_idle_connection(stack, app) for _ in range(CONNECTIONS)]
        async with stopped(process) as listening:
            await terminate(process, listening)
            for connection in connections:
                await connection.send(LIVEZ * 20)

        for connection in connections:
            await assert_last(connection, requests=20)
        assert await process.end() == 0


@WORKERS
@pytest.mark.parametrize("sigterms", [1, 5])
async def test_waits_for_the_rest_of_a_request_that_is_half_sent(
    database: TestDatabase, workers: str, sigterms: int
) -> None:
    sessions = [await database.a_session() for _ in range(3)]
    requests = [
        a_post(b"Content-Length: %d" % len(BODY), session=session) + BODY for session in sessions
    ]
    places = (1, len(requests[1]) - len(BODY) - 1, len(requests[2]) - 1)
    async with (
        a_service(database.api_url, workers=workers) as (process, app),
        AsyncExitStack() as stack,
    ):
        connections = [await an_idle_connection(stack, app) for _ in requests]
        for connection, request, place in zip(connections, requests, places, strict=True):
            await connection.send(request[:place])
        await has_read_what_came_before(app)
        for _ in range(sigterms):
            process.signal(signal.SIGTERM)
        await process.line("Shutting down", count=int(workers))

        for connection, request, place in zip(connections, requests, places, strict=True):
            await connection.send(request[place:])
            await assert_last(connection)
        assert await process.end() == 0

    assert len(await database.events()) == len(sessions)


HALVES = {
    "head": (LIVEZ[:-2], "headers"),
    "body": (a_post(b"Content-Length: 9") + b"{", "body"),
}


@pytest.mark.parametrize(("half", "part"), HALVES.values(), ids=HALVES)
async def test_refuses_half_a_request_before_the_time_limit_of_the_shutdown(
    half: bytes, part: str
) -> None:
    async with (
        a_service(NOWHERE, shutdown_timeout_seconds="1") as (process, app),
        connected(app) as connection,
    ):
        await connection.send(half)
        await has_read_what_came_before(app)
        process.signal(signal.SIGTERM)

        answer = await connection.answer()
        assert_refuses(answer, 408, "REQUEST_TIMEOUT")
        assert answer.error["details"]["part"] == part
        assert await process.end() == 0


@WORKERS
async def test_closes_idle_connections_without_a_reset(workers: str) -> None:
    async with a_service(NOWHERE, workers=workers) as (process, app), AsyncExitStack() as stack:
        silent = await stack.enter_async_context(connected(app))
        idle = await an_idle_connection(stack, app)
        process.signal(signal.SIGTERM)

        assert (await silent.reader.read(), await idle.reader.read()) == (b"", b"")
        assert await process.end() == 0


async def test_a_client_that_reads_slowly_gets_its_whole_answer() -> None:
    async with a_service(NOWHERE) as (process, app):
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            url = urlsplit(app.url)
            client.connect((url.hostname, url.port))
            client.sendall(OPENAPI)
            await has_read_what_came_before(app)
            process.signal(signal.SIGTERM)
            await process.line("Shutting down")

            answer = await asyncio.to_thread(_read_to_end, client)
        assert await process.end() == 0

    head, body = answer.split(b"\r\n\r\n", 1)
    assert f"content-length: {len(body)}\r\n".encode() in head


def _read_to_end(client: socket.socket) -> bytes:
    """Little by little."""
    return b"".join(iter(lambda: client.recv(1024), b""))


async def test_asks_clients_to_connect_elsewhere_during_the_shutdown_notice() -> None:
    async with (
        a_service(NOWHERE, shutdown_notice_seconds="3600") as (process, app),
        AsyncExitStack() as stack,
    ):
        before = await an_idle_connection(stack, app)
        process.signal(signal.SIGTERM)
        await eventually(lambda: _is_announced(app))

        await before.send(LIVEZ)
        await assert_last(before)
        async with connected(app) as new:
            await new.send(LIVEZ * 3)
            await assert_last(new, requests=3)


async def _is_announced(app: App) -> bool:
    answer = await app.client.get("/readyz")
    return bool(answer.json()["error"]["details"]["checks"] == {"process": "shuts down"})

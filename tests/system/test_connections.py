# SPDX-License-Identifier: MIT
"""Connections to `serve` as a process: open files, memory, the log, and the shutdown."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx2
import psutil
import pytest

from service.http.connection.limits import HEAD_MAX_BYTES
from tests.builders import NOWHERE
from tests.conformance import HELD
from tests.http.bare import HOST, LIVEZ, BareConnection, a_post, assert_refuses, connected
from tests.running import App, TestDatabase, eventually
from tests.system.processes import (
    LONG_TIME_LIMITS,
    PATIENCE_SECONDS,
    SERVICE,
    Process,
    a_service,
    listening_url,
    serve_environment,
    started,
)

START = b"GET /livez HTTP/1.1\r\n" + HOST
OPEN_FILES = 256
IDLE = 300


@asynccontextmanager
async def a_service_with_open_files(number: int) -> AsyncIterator[tuple[Process, App]]:
    limited = ("sh", "-c", f'ulimit -n {number}; exec "$@"', "sh", *SERVICE)
    environment = serve_environment(NOWHERE)
    async with started("serve", environment=environment, command=limited) as process:
        url = await listening_url(process)
        async with httpx2.AsyncClient(
            base_url=url, timeout=PATIENCE_SECONDS, event_hooks=HELD
        ) as client:
            yield process, App(url, client)


@pytest.mark.parametrize("open_files", [64, OPEN_FILES])
@pytest.mark.parametrize("is_used", [False, True], ids=["silent", "answered once"])
async def test_answers_beside_more_idle_connections_than_it_may_open_files(
    is_used: bool, open_files: int
) -> None:
    async with a_service_with_open_files(open_files) as (process, app):
        low = json.loads(await process.line("open_files_limit_too_low"))
        async with AsyncExitStack() as stack:
            for _ in range(IDLE):
                connection = await stack.enter_async_context(connected(app))
                if is_used:
                    await connection.send(LIVEZ)
                    assert (await connection.answer()).status == 200
            assert (await app.client.get("/livez")).status_code == 200
            full = json.loads(await process.line("connections_full"))
        await process.line("connections_available")
        assert (await app.client.get("/livez")).status_code == 200

    assert (low["open_files_max"], low["connections_wanted"]) == (open_files, 4096)
    assert low["connections_max"] == full["limit"] < open_files
    assert full["bound_by"] == "limit of open files"
    events = [json.loads(line)["event"] for line in process.out]
    assert events.count("connections_full") == events.count("connections_available") == 1
    assert process.err == []


async def test_answers_a_burst_of_connections_beyond_its_open_files() -> None:
    async with a_service_with_open_files(OPEN_FILES) as (_, app), AsyncExitStack() as stack:
        await asyncio.gather(*(stack.enter_async_context(connected(app)) for _ in range(IDLE)))

        assert (await app.client.get("/livez")).status_code == 200


async def test_raises_the_soft_limit_of_open_files_as_far_as_it_needs() -> None:
    limited = ("sh", "-c", f'ulimit -Sn {OPEN_FILES}; exec "$@"', "sh", *SERVICE)
    environment = serve_environment(NOWHERE, connections_max="400")
    async with started("serve", environment=environment, command=limited) as process:
        app = App(await listening_url(process), httpx2.AsyncClient())
        async with AsyncExitStack() as stack:
            connections = [await stack.enter_async_context(connected(app)) for _ in range(IDLE)]
            for each in connections:
                await each.send(LIVEZ)
                assert (await each.answer()).status == 200

    assert "open_files_limit_too_low" not in process.output


ENDLESS = {
    "a header": START + b"X-Gym: ",
    "a target": b"GET /",
    "a trailer": a_post(b"Transfer-Encoding: chunked") + b"0\r\nX-Gym: ",
    "an extension": a_post(b"Transfer-Encoding: chunked") + b"1;",
}
CLIENTS = 200
SENT_BYTES = 16 * HEAD_MAX_BYTES
GROWTH_MAX_BYTES = 40 * 1024**2
"""What the clients send is more than twice as much."""


@pytest.mark.parametrize("start", ENDLESS.values(), ids=ENDLESS)
async def test_memory_stays_flat_while_many_clients_send_without_end(start: bytes) -> None:
    async with a_service(NOWHERE) as (process, app), AsyncExitStack() as stack:
        memory = psutil.Process(process.running.pid).memory_info
        connections = [await stack.enter_async_context(connected(app)) for _ in range(CLIENTS)]
        for each in connections:
            await each.send(LIVEZ)
            assert (await each.answer()).status == 200
        before = memory().rss
        await asyncio.gather(*(_send_much(each, start) for each in connections))
        assert (await app.client.get("/livez")).status_code == 200
        after = memory().rss

    assert CLIENTS * SENT_BYTES > 2 * GROWTH_MAX_BYTES
    assert after - before < GROWTH_MAX_BYTES


async def _send_much(connection: BareConnection, start: bytes) -> None:
    """The server may have ended the connection before all is sent."""
    try:
        await connection.send(start, *[b"x" * HEAD_MAX_BYTES] * (SENT_BYTES // HEAD_MAX_BYTES))
    except ConnectionError:
        return
    assert (await connection.answer()).status in {414, 431}


LOGGED = {
    b"shoulder pain\r\n\r\n": (None, 400, "BAD_REQUEST"),
    b"GET /livez HTTP/1.1\r\n\r\n": ("GET", 400, "BAD_REQUEST"),
    START + b"a: b\r\n" * 101 + b"\r\n": ("GET", 431, "REQUEST_HEADER_FIELDS_TOO_LARGE"),
    b"GET /" + b"x" * 9000: ("GET", 414, "URI_TOO_LONG"),
    START + b"Expect: cake\r\n\r\n": ("GET", 417, "EXPECTATION_FAILED"),
    START + b"X-Gym": ("GET", 408, "REQUEST_TIMEOUT"),
    a_post(b"Content-Length: 9"): ("POST", 408, "REQUEST_TIMEOUT"),
    a_post(b"Transfer-Encoding: chunked") + b"knee\r\n": ("POST", 400, "BAD_REQUEST"),
}


async def test_logs_one_line_for_each_request_that_is_not_valid_or_late() -> None:
    limits = {"head_timeout_seconds": "0.2", "body_timeout_seconds": "0.2"}
    ids = []
    async with a_service(NOWHERE, **limits) as (process, app):
        for request in LOGGED:
            async with connected(app) as connection:
                await connection.send(request)
                answer = await connection.answer()
                ids.append(answer.headers["x-request-id"])
                assert await connection.rest() == b""
        process.signal(signal.SIGTERM)
        assert await process.end() == 0

    logged = [json.loads(line) for line in process.out]
    requests = [line for line in logged if line["event"] == "request"]
    assert [
        (line["method"], line["status"], line["code"]) for line in requests
    ] == list(LOGGED.values())  # fmt: skip
    assert [line["request_id"] for line in requests] == ids
    assert "Invalid HTTP" not in process.output
    assert process.err == []


STATES = {
    "silent": b"",
    "idle": LIVEZ,
    "a refused head": b"shoulder pain\r\n\r\n",
    "half a body after its answer": b"POST /sessions HTTP/1.1\r\nContent-Length: 9\r\n" + HOST
    + b"\r\n",
}  # fmt: skip


async def test_shutdown_waits_for_no_connection_without_a_running_request() -> None:
    """It would wait for an hour."""
    async with (
        a_service(NOWHERE, shutdown_timeout_seconds="3600") as (process, app),
        AsyncExitStack() as stack,
    ):
        for sent in STATES.values():
            connection = await stack.enter_async_context(connected(app))
            await connection.send(sent)
        process.signal(signal.SIGTERM)

        assert await process.end() == 0


async def test_a_request_that_the_shutdown_cuts_off_is_answered(database: TestDatabase) -> None:
    session = await database.a_session()
    settings = {"shutdown_timeout_seconds": "1", **LONG_TIME_LIMITS}
    async with a_service(database.api_url, **settings) as (process, app):
        async with connected(app) as connection, database.connection.transaction():
            await database.execute("LOCK TABLE sessions")
            await connection.send(a_post(session=session))
            await eventually(lambda: _somebody_waits(database))
            process.signal(signal.SIGTERM)

            assert_refuses(await connection.answer(), 503, "DEPENDENCY_UNAVAILABLE")
            assert await connection.rest() == b""
        assert await process.end() == 0

    assert "Exception in ASGI application" not in process.output


async def _somebody_waits(database: TestDatabase) -> Any:
    return await database.value("SELECT count(*) FROM pg_locks WHERE NOT granted")

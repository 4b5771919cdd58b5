# SPDX-License-Identifier: MIT
"""Requests that are not valid HTTP get answers like all others; unusual ones are not refused."""

import json
from collections.abc import AsyncIterator

import pytest

from tests.http.bare import (
    HOST,
    LIVEZ,
    a_bare_app,
    a_post,
    assert_refuses,
    connected,
    is_new_request_id,
)
from tests.running import App, TestDatabase

pytestmark = pytest.mark.both_loops

GET = b"GET /livez HTTP/1.1\r\n"
POST = b"POST /sessions HTTP/1.1\r\n" + HOST
CHUNKED = b"Transfer-Encoding: chunked\r\n"


@pytest.fixture
async def app() -> AsyncIterator[App]:
    async with a_bare_app() as app:
        yield app


MALFORMED = {
    "no HTTP": b"shoulder pain\r\n\r\n",
    "a TLS handshake": bytes.fromhex("16030102000100 01fc0303"),
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "the PROXY protocol": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + LIVEZ,
    "NUL": b"\0" * 100,
    "an unknown method": b"TRAIN /livez HTTP/1.1\r\n" + HOST + b"\r\n",
    "a method in lower case": b"get /livez HTTP/1.1\r\n" + HOST + b"\r\n",
    "CONNECT": b"CONNECT gym:443 HTTP/1.1\r\n" + HOST + b"\r\n",
    "HTTP/0.9": b"GET /livez\r\n\r\n",
    "HTTP/1.2": b"GET /livez HTTP/1.2\r\n" + HOST + b"\r\n",
    "HTTP/2.0": b"GET /livez HTTP/2.0\r\n" + HOST + b"\r\n",
    "no version": b"GET /livez HTTP/\r\n" + HOST + b"\r\n",
    "a space in the target": b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n",
    "a control character in the target": b"GET /\x01 HTTP/1.1\r\n" + HOST + b"\r\n",
    "UTF-8 in the target": "GET /länge HTTP/1.1\r\n".encode() + HOST + b"\r\n",
    "a target that is no path": b"GET livez HTTP/1.1\r\n" + HOST + b"\r\n",
    "a target without a host": b"GET http:///livez HTTP/1.1\r\n" + HOST + b"\r\n",
    "no Host": GET + b"\r\n",
    "two Hosts": GET + HOST * 2 + b"\r\n",
    "a Host with a space": GET + b"Host: a gym\r\n\r\n",
    "a Host with a path": GET + b"Host: gym/livez\r\n\r\n",
    "a header without a colon": GET + HOST + b"X-Gym\r\n\r\n",
    "a header without a name": GET + HOST + b": a\r\n\r\n",
    "a space before the colon": GET + HOST + b"X-Gym : a\r\n\r\n",
    "UTF-8 in a name": GET + HOST + "X-Länge: a\r\n\r\n".encode(),
    "NUL in a value": GET + HOST + b"X-Gym: a\0b\r\n\r\n",
    "a bare CR": GET + HOST + b"X-Gym: a\rb\r\n\r\n",
    "a folded value": GET + HOST + b"X-Gym: a\r\n b\r\n\r\n",
    "bare LFs": b"GET /livez HTTP/1.1\nHost: gym\n\n",
    "two lengths": POST + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "a list of lengths": POST + b"Content-Length: 2, 2\r\n\r\n{}",
    "a negative length": POST + b"Content-Length: -2\r\n\r\n{}",
    "a length with a sign": POST + b"Content-Length: +2\r\n\r\n{}",
    "a length in hexadecimal": POST + b"Content-Length: 0x2\r\n\r\n{}",
    "an empty length": POST + b"Content-Length:\r\n\r\n{}",
    "a length of 100 digits": POST + b"Content-Length: " + b"9" * 100 + b"\r\n\r\n{}",
    "a length and chunks": POST + b"Content-Length: 2\r\n" + CHUNKED + b"\r\n0\r\n\r\n",
    "chunks and a length": POST + CHUNKED + b"Content-Length: 2\r\n\r\n0\r\n\r\n",
    "chunks twice": POST + CHUNKED * 2 + b"\r\n0\r\n\r\n",
    "gzip without chunks": POST + b"Transfer-Encoding: gzip\r\n\r\n{}",
    "an unknown coding like chunked": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a quoted coding": POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n',
    "a coding with a parameter": POST + b"Transfer-Encoding: chunked;a=b\r\n\r\n0\r\n\r\n",
    "a coding of a request without a body": GET + HOST + b"Transfer-Encoding: identity\r\n\r\n",
    "chunks and then gzip": POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("request_", MALFORMED.values(), ids=MALFORMED)
async def test_returns_400_to_malformed_requests_and_closes(app: App, request_: bytes) -> None:
    async with connected(app) as connection:
        await connection.send(request_)

        answer = await connection.answer()
        assert_refuses(answer, 400, "BAD_REQUEST")
        assert answer.error["details"]["reason"] in answer.error["message"]
        assert is_new_request_id(answer)
        assert await connection.rest() == b""


@pytest.mark.parametrize("request_", MALFORMED.values(), ids=MALFORMED)
async def test_answers_requests_before_a_malformed_one(app: App, request_: bytes) -> None:
    async with connected(app) as connection:
        await connection.send(LIVEZ + LIVEZ + request_)

        assert [(await connection.answer()).status for _ in range(2)] == [200, 200]
        assert_refuses(await connection.answer(), 400, "BAD_REQUEST")


MALFORMED_BODIES = {
    "a size that is no number": b"knee\r\n{}\r\n0\r\n\r\n",
    "a negative size": b"-2\r\n{}\r\n0\r\n\r\n",
    "a size of 20 digits": b"f" * 20 + b"\r\n{}\r\n0\r\n\r\n",
    "a chunk longer than its size": b"1\r\n{}\r\n0\r\n\r\n",
    "bare LFs": b"2\n{}\n0\n\n",
    "a trailer without a colon": b"2\r\n{}\r\n0\r\nX-Gym\r\n\r\n",
}


@pytest.mark.parametrize("in_parts", [False, True], ids=["at once", "later"])
@pytest.mark.parametrize("body", MALFORMED_BODIES.values(), ids=MALFORMED_BODIES)
async def test_returns_400_to_malformed_bodies_and_closes(
    app: App, body: bytes, in_parts: bool
) -> None:
    head = a_post(CHUNKED.strip())
    async with connected(app) as connection:
        await connection.send(*([head, body] if in_parts else [head + body]))

        assert_refuses(await connection.answer(), 400, "BAD_REQUEST")
        assert await connection.rest() == b""


async def test_closes_after_a_malformed_body_that_nobody_reads(app: App) -> None:
    async with connected(app) as connection:
        await connection.send(POST + CHUNKED + b"\r\nknee\r\n")

        answer = await connection.answer()
        assert (answer.status, answer.headers["connection"]) == (401, "close")
        assert await connection.rest() == b""


async def test_does_not_execute_a_command_with_a_malformed_body(database: TestDatabase) -> None:
    session = await database.a_session()
    async with a_bare_app(database_url=database.api_url) as app, connected(app) as connection:
        await connection.send(a_post(CHUNKED.strip(), session=session) + b"2\r\n{}\r\nknee")

        assert (await connection.answer()).status == 400
    assert await database.events() == []


async def test_keeps_the_request_id_that_came_before_the_fault(app: App) -> None:
    async with connected(app) as connection:
        await connection.send(GET + b"X-Request-Id: phone-7\r\n" + HOST + b"X-Gym\r\n\r\n")

        assert (await connection.answer()).headers["x-request-id"] == "phone-7"


@pytest.mark.parametrize("value", [b"200-ok", b"100-continue, cake", b""])
async def test_returns_417_for_an_unknown_expectation(app: App, value: bytes) -> None:
    async with connected(app) as connection:
        await connection.send(POST + b"Content-Length: 2\r\nExpect: " + value + b"\r\n\r\n")

        assert_refuses(await connection.answer(), 417, "EXPECTATION_FAILED")
        assert await connection.rest() == b""


UNUSUAL = {
    "empty lines first": (b"\r\n\r\n" + LIVEZ, 200),
    "an empty line after a body": (POST + b"Content-Length: 2\r\n\r\n{}\r\n", 401),
    "a target with a host": (b"GET http://gym/livez HTTP/1.1\r\n" + HOST + b"\r\n", 200),
    "a target without a path": (b"GET http://gym HTTP/1.1\r\n" + HOST + b"\r\n", 404),
    "a query without a path": (b"GET http://gym?a=b HTTP/1.1\r\n" + HOST + b"\r\n", 404),
    "an asterisk": (b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n", 404),
    "TRACE": (b"TRACE /livez HTTP/1.1\r\n" + HOST + b"\r\n", 405),
    "a Host with a port": (GET + b"Host: [::1]:8000\r\n\r\n", 200),
    "an empty Host": (GET + b"Host:\r\n\r\n", 200),
    "Latin-1 in a value": (GET + HOST + b"X-Gym: \xe9\r\n\r\n", 200),
    "a WebSocket": (GET + HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 200),
    "an upgrade without a body": (
        GET + HOST + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n",
        200,
    ),
}


@pytest.mark.parametrize(("request_", "status"), UNUSUAL.values(), ids=UNUSUAL)
async def test_answers_unusual_requests_and_keeps_the_connection(
    app: App, request_: bytes, status: int
) -> None:
    async with connected(app) as connection:
        for _ in range(2):
            await connection.send(request_)
            answer = await connection.answer()
            assert (answer.status, "connection" in answer.headers) == (status, False)


@pytest.mark.parametrize("host", [b"", HOST])
async def test_answers_http_1_0_and_closes(app: App, host: bytes) -> None:
    async with connected(app) as connection:
        await connection.send(b"GET /livez HTTP/1.0\r\nConnection: keep-alive\r\n" + host + b"\r\n")

        answer = await connection.answer()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert await connection.rest() == b""


async def test_reads_the_body_of_a_request_that_offers_an_upgrade(database: TestDatabase) -> None:
    """As clients do that would rather speak HTTP/2: Java's, for one."""
    session = await database.a_session()
    upgrade = [b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAA"]
    body = json.dumps({"reason": "shoulder pain"}).encode()
    async with a_bare_app(database_url=database.api_url) as app, connected(app) as connection:
        head = a_post(*upgrade, b"Content-Length: %d" % len(body), session=session)
        await connection.send(head + body + LIVEZ)

        assert (await connection.answer()).status == 200
        assert (await connection.answer()).status == 200
    [event] = await database.events(session)
    assert event["event_data"] == {"reason": "shoulder pain"}


async def test_sends_100_continue_once_the_body_is_wanted(app: App) -> None:
    async with connected(app) as connection:
        await connection.send(a_post(b"Content-Length: 4", b"Expect: 100-continue"))
        assert (await connection.answer()).status == 100
        await connection.send(b"knee" + LIVEZ)

        assert (await connection.answer()).error["code"] == "VALIDATION_ERROR"
        assert (await connection.answer()).status == 200


async def test_closes_after_an_answer_that_came_instead_of_100_continue(app: App) -> None:
    """The client need not send the body then, so a next request could be taken for it."""
    async with connected(app) as connection:
        await connection.send(POST + b"Content-Length: 100\r\nExpect: 100-continue\r\n\r\n")

        answer = await connection.answer()
        assert (answer.status, answer.headers["connection"]) == (401, "close")
        connection.writer.write_eof()
        assert await connection.rest() == b""


async def test_sends_no_100_continue_to_http_1_0(app: App) -> None:
    head = a_post(b"Content-Length: 2", b"Expect: 100-continue").replace(b"HTTP/1.1", b"HTTP/1.0")
    async with connected(app) as connection:
        await connection.send(head, b"[]")

        assert (await connection.answer()).status == 400

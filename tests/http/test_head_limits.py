# SPDX-License-Identifier: MIT
"""The size of a request's head, of its trailers and of its chunks' extensions: refused on arrival.

Where a request has no end, an answer shows that the server does not wait for it.
"""

from collections.abc import AsyncIterator

import pytest

from service.http.connection.limits import HEAD_MAX_BYTES, HEADERS_MAX, TARGET_MAX_BYTES
from tests.http.bare import (
    HOST,
    LIVEZ,
    a_bare_app,
    a_post,
    assert_refuses,
    connected,
    is_new_request_id,
)
from tests.running import App

pytestmark = pytest.mark.both_loops

START = b"GET /livez HTTP/1.1\r\n" + HOST
MUCH = b"x" * HEAD_MAX_BYTES
TOO_LARGE = "REQUEST_HEADER_FIELDS_TOO_LARGE"


@pytest.fixture
async def app() -> AsyncIterator[App]:
    async with a_bare_app() as app:
        yield app


ENDLESS = {
    "a value": (START + b"X-Gym: " + MUCH, 431, TOO_LARGE),
    "a name": (START + MUCH, 431, TOO_LARGE),
    "many small headers": (START + b"a: b\r\n" * 101, 431, TOO_LARGE),
    "some large headers": (START + (b"a: " + b"x" * 1000 + b"\r\n") * 33, 431, TOO_LARGE),
    "a target": (b"GET /" + b"x" * TARGET_MAX_BYTES, 414, "URI_TOO_LONG"),
    "a query": (b"GET /livez?" + b"x" * TARGET_MAX_BYTES, 414, "URI_TOO_LONG"),
    "a host": (b"GET http://" + b"x" * TARGET_MAX_BYTES, 414, "URI_TOO_LONG"),
    "empty lines": (b"\r\n" * HEAD_MAX_BYTES, 431, TOO_LARGE),
}
WHOLE = {
    "a value": (START + b"X-Gym: " + MUCH + b"\r\n\r\n", 431, TOO_LARGE),
    "101 headers": (START + b"a: b\r\n" * HEADERS_MAX + b"\r\n", 431, TOO_LARGE),
    "a target": (b"GET /" + b"x" * TARGET_MAX_BYTES + START[4:] + b"\r\n", 414, "URI_TOO_LONG"),
}


@pytest.mark.parametrize(
    ("head", "status", "code"),
    [*ENDLESS.values(), *WHOLE.values()],
    ids=[*(f"endless: {name}" for name in ENDLESS), *(f"whole: {name}" for name in WHOLE)],
)
async def test_refuses_a_head_over_a_limit_and_closes(
    app: App, head: bytes, status: int, code: str
) -> None:
    async with connected(app) as connection:
        await connection.send(head)

        answer = await connection.answer()
        assert_refuses(answer, status, code)
        assert is_new_request_id(answer)
        assert await connection.rest() == b""


@pytest.mark.parametrize("size", [1, 7, 4096, 5000])
async def test_refuses_a_head_over_a_limit_that_arrives_in_parts(app: App, size: int) -> None:
    head = START + b"a: b\r\n" * (HEADERS_MAX + 1)
    async with connected(app) as connection:
        await connection.send(*(head[at : at + size] for at in range(0, len(head), size)))

        assert_refuses(await connection.answer(), 431, TOO_LARGE)


async def test_the_limits_hold_for_later_requests_of_a_connection(app: App) -> None:
    async with connected(app) as connection:
        await connection.send(LIVEZ)
        assert (await connection.answer()).status == 200
        await connection.send(LIVEZ * 2 + START + b"X-Gym: " + MUCH + b"x" * 5000)

        assert [(await connection.answer()).status for _ in range(2)] == [200, 200]
        assert_refuses(await connection.answer(), 431, TOO_LARGE)


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (START + b"a: b\r\n" * (HEADERS_MAX - 1) + b"\r\n", 200),
        (b"GET /" + b"x" * (TARGET_MAX_BYTES - 1) + b" HTTP/1.1\r\n" + HOST + b"\r\n", 404),
        (START + b"a: " + b"x" * (HEAD_MAX_BYTES - len(START) - 7) + b"\r\n\r\n", 200),
    ],
    ids=["100 headers", "a target of 8 KiB", "a head of 32 KiB"],
)
async def test_takes_a_head_at_the_limit(app: App, head: bytes, status: int) -> None:
    async with connected(app) as connection:
        await connection.send(head + LIVEZ)

        assert (await connection.answer()).status == status
        assert (await connection.answer()).status == 200


async def test_counts_the_head_alone_and_not_the_body_behind_it(app: App) -> None:
    line = b"Content-Length: 16000"
    padding = b"X-Gym: " + b"x" * (HEAD_MAX_BYTES - len(a_post(line)) - 9)
    async with connected(app) as connection:
        await connection.send(a_post(padding, line) + b" " * 16000)

        assert (await connection.answer()).status == 400  # the body is no JSON


async def test_keeps_the_request_id_of_a_refused_head(app: App) -> None:
    async with connected(app) as connection:
        await connection.send(START + b"X-Request-Id: phone-7\r\nX-Gym: " + MUCH)

        assert (await connection.answer()).headers["x-request-id"] == "phone-7"


async def test_a_refusal_of_head_has_no_body(app: App) -> None:
    async with connected(app) as connection:
        await connection.send(b"HEAD" + START[3:] + b"X-Gym: " + MUCH)

        assert (await connection.answer(has_body=False)).status == 431
        assert await connection.rest() == b""


CHUNKED = b"Transfer-Encoding: chunked"


@pytest.mark.parametrize(
    "body",
    [
        b"0\r\nX-Gym: " + MUCH + b"x" * 5000,
        b"0\r\n" + b"a: b\r\n" * 102,
        b"1;" + MUCH + b"x" * 5000,
        b"1;a=" + b"x" * 5000 + b"\r\nx\r\n" + (b"1;a=" + b"x" * 1000 + b"\r\nx\r\n") * 40,
        b"0" * (HEAD_MAX_BYTES + 5000),
        b"1\r\n \r\n" * 10_000 + b"0\r\nX-Gym: " + MUCH + b"x" * 5000,
        b"1\r\n \r\n" * 10_000 + b"1;" + MUCH + b"x" * 5000,
    ],
    ids=[
        "a trailer",
        "trailers",
        "an extension",
        "many extensions",
        "digits of a size",
        "a trailer after small chunks",
        "an extension after small chunks",
    ],
)
async def test_refuses_endless_trailers_and_extensions_of_a_body(app: App, body: bytes) -> None:
    async with connected(app) as connection:
        await connection.send(a_post(CHUNKED) + body)

        assert_refuses(await connection.answer(), 431, TOO_LARGE)
        assert await connection.rest() == b""


async def test_takes_a_body_in_many_small_chunks(app: App) -> None:
    content = b'{"reason": ' + b" " * 12_000 + b'"x"} no JSON'
    chunks = b"".join(b"1\r\n%c\r\n" % each for each in content)
    async with connected(app) as connection:
        await connection.send(a_post(CHUNKED) + chunks + b"0\r\n\r\n")

        assert (await connection.answer()).error["code"] == "VALIDATION_ERROR"


async def test_a_trailer_is_not_taken_for_a_header(app: App) -> None:
    authorization = next(line for line in a_post().split(b"\r\n") if line.startswith(b"Auth"))
    head = b"POST /sessions HTTP/1.1\r\n" + HOST + CHUNKED + b"\r\n\r\n"
    async with connected(app) as connection:
        await connection.send(head + b"0\r\n" + authorization + b"\r\n\r\n" + LIVEZ)

        assert (await connection.answer()).error["code"] == "UNAUTHENTICATED"
        assert (await connection.answer()).status == 200


async def test_a_client_that_sends_on_can_read_the_refusal(app: App) -> None:
    """Without lingering, the system resets the connection, and the answer is lost."""
    async with connected(app) as connection:
        connection.writer.write(START + b"X-Gym: " + MUCH * 64)
        await connection.writer.drain()
        connection.writer.write_eof()

        assert_refuses(await connection.answer(), 431, TOO_LARGE)
        assert await connection.rest() == b""


async def test_other_connections_are_answered_beside_refused_ones(app: App) -> None:
    async with connected(app) as refused, connected(app) as other:
        await refused.send(START + b"X-Gym: " + MUCH)
        await other.send(LIVEZ)

        assert (await other.answer()).status == 200
        assert (await refused.answer()).status == 431

# SPDX-License-Identifier: MIT
"""Requests that arrive before the answers to those before them, and requests in pieces."""

import pytest

from tests.http.bare import HOST, LIVEZ, a_bare_app, a_post, connected

pytestmark = pytest.mark.both_loops

COUNT = 3000
BODY = b'{"reason": 7}'
STREAM = (
    LIVEZ
    + a_post(b"Content-Length: %d" % len(BODY))
    + BODY
    + a_post(b"Transfer-Encoding: chunked")
    + b"6;knee=1\r\n%b\r\n7\r\n%b\r\n0\r\nX-Gym: a\r\n\r\n" % (BODY[:6], BODY[6:])
    + b"GET /nowhere HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n"
    + HOST
    + b"\r\n"
    + b"HEAD"
    + LIVEZ[3:]
    + LIVEZ
)


async def test_answers_pipelined_requests_in_their_order() -> None:
    requests = [
        b"GET /livez HTTP/1.1\r\nX-Request-Id: phone-%d\r\n" % number + HOST + b"\r\n"
        for number in range(COUNT)
    ]
    async with a_bare_app() as app, connected(app) as connection:
        connection.writer.write(b"".join(requests))
        answers = [await connection.answer() for _ in range(COUNT)]

    ids = [answer.headers["x-request-id"] for answer in answers]
    assert ids == [f"phone-{number}" for number in range(COUNT)]


async def test_answers_the_same_wherever_the_requests_are_divided() -> None:
    async with a_bare_app() as app, connected(app) as connection:
        for at in range(0, len(STREAM), 7):
            await connection.send(STREAM[:at], STREAM[at:])
            answers = [await connection.answer() for _ in range(4)]
            head = await connection.answer(has_body=False)
            last = await connection.answer()

            statuses = [answer.status for answer in [*answers, head, last]]
            assert statuses == [200, 400, 400, 404, 200, 200]


async def test_a_pipeline_ends_with_a_request_that_closes() -> None:
    closing = b"GET /livez HTTP/1.1\r\nConnection: close\r\n" + HOST + b"\r\n"
    async with a_bare_app() as app, connected(app) as connection:
        await connection.send(LIVEZ + closing + LIVEZ)

        assert [(await connection.answer()).status for _ in range(2)] == [200, 200]
        assert await connection.rest() == b""

# SPDX-License-Identifier: MIT
"""Cross-origin requests: preflights, and the headers by which a browser shows answers to a page."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx2
import pytest
import structlog.testing

from service.http.connection.limits import HEAD_MAX_BYTES, TARGET_MAX_BYTES
from tests.conftest import StartApp
from tests.http.bare import HOST, Answer, a_bare_app, connected
from tests.http.responses import error_of
from tests.running import App, TestDatabase

LISTED = "https://gym.example"
OTHER = "https://evil.example"
EXPOSED = "ETag, Location, Content-Location, Retry-After, X-Request-Id, Idempotent-Replayed"
METHODS = ["GET", "HEAD", "POST", "PATCH"]
REQUEST_HEADERS = [
    "authorization",
    "content-type",
    "idempotency-key",
    "if-match",
    "if-none-match",
    "x-request-id",
    "traceparent",
]

allows = {"cors_allowed_origins": f"{LISTED},capacitor://localhost"}


@pytest.fixture
async def app() -> AsyncIterator[App]:
    """An app that lists two origins, and has no database."""
    async with a_bare_app(**allows) as app:
        yield app


def cors_headers(headers: Any) -> dict[str, str]:
    """The headers of CORS, and `Vary`, by their names in lower case."""
    return {
        name.lower(): value
        for name, value in dict(headers).items()
        if name.lower().startswith("access-control-") or name.lower() == "vary"
    }


READABLE = {
    "access-control-allow-origin": LISTED,
    "access-control-expose-headers": EXPOSED,
    "vary": "Origin",
}


async def a_preflight(
    app: App, origin: str = LISTED, method: str = "POST", headers: list[str] | None = None
) -> httpx2.Response:
    asked = {"Origin": origin, "Access-Control-Request-Method": method}
    if headers is not None:
        asked["Access-Control-Request-Headers"] = ",".join(headers)
    return await app.client.options(f"/sessions/{uuid4()}/fail", headers=asked)


@pytest.mark.parametrize("method", METHODS)
async def test_answers_a_preflight_without_a_token(app: App, method: str) -> None:
    response = await a_preflight(app, method=method, headers=REQUEST_HEADERS)

    headers = response.headers
    assert response.status_code == 200
    assert headers["Access-Control-Allow-Origin"] == LISTED
    assert headers["Access-Control-Allow-Methods"] == ", ".join(METHODS)
    assert headers["Access-Control-Max-Age"] == "7200"
    assert "Access-Control-Allow-Credentials" not in headers
    allowed = headers["Access-Control-Allow-Headers"].lower().split(", ")
    assert set(REQUEST_HEADERS) <= set(allowed)
    assert headers["Vary"].startswith("Origin, ")


@pytest.mark.parametrize(
    "asked",
    [
        {"origin": OTHER},
        {"origin": "null"},
        {"origin": f"{LISTED}.evil.example"},
        {"origin": "http://gym.example"},
    ],
)
async def test_refuses_the_preflight_of_an_origin_that_is_not_listed(
    app: App, asked: dict[str, Any]
) -> None:
    response = await a_preflight(app, **asked)

    assert response.status_code == 400
    assert "Access-Control-Allow-Origin" not in response.headers


@pytest.mark.parametrize("asked", [{"method": "DELETE"}, {"headers": ["x-gym"]}])
async def test_refuses_the_preflight_of_a_method_or_header_that_is_not_in_the_contract(
    app: App, asked: dict[str, Any]
) -> None:
    response = await a_preflight(app, **asked)

    assert response.status_code == 400


async def test_a_preflight_has_the_headers_and_the_line_of_every_response(app: App) -> None:
    with structlog.testing.capture_logs() as lines:
        response = await a_preflight(app)

    headers = response.headers
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    [line] = [line for line in lines if line["event"] == "request"]
    assert (line["method"], line["status"]) == ("OPTIONS", 200)
    assert line["request_id"] == headers["X-Request-Id"]


async def test_a_page_reads_answers_and_their_headers(
    start_app: StartApp, database: TestDatabase
) -> None:
    app, session = await start_app(**allows), await database.a_session()

    failed = await app.fail(session, headers={"Origin": LISTED})
    conflict = await app.fail(session, headers={"Origin": LISTED})

    assert (failed.status_code, conflict.status_code) == (200, 409)
    assert cors_headers(failed.headers) == cors_headers(conflict.headers) == READABLE


async def test_a_page_reads_a_500(start_app: StartApp, database: TestDatabase) -> None:
    app, session = await start_app(**allows), await database.a_session()
    await database.execute("ALTER TABLE events ADD CONSTRAINT nothing CHECK (false)")

    response = await app.fail(session, headers={"Origin": LISTED})

    assert (response.status_code, error_of(response)["code"]) == (500, "INTERNAL_ERROR")
    assert cors_headers(response.headers) == READABLE


REFUSALS: dict[str, tuple[dict[str, Any], int]] = {
    "no token": ({"method": "GET", "path": "/sessions", "token": False}, 401),
    "no such path": ({"method": "GET", "path": "/nowhere"}, 404),
    "another method": ({"method": "DELETE", "path": "/sessions"}, 405),
    "a large body": ({"content": b"[" * 17_000}, 413),
    "another type": ({"headers": {"Content-Type": "text/plain"}, "content": b"knee"}, 415),
    "no database": ({"json": {}}, 503),
}


@pytest.mark.parametrize(("request_parts", "status"), REFUSALS.values(), ids=REFUSALS)
async def test_a_page_reads_every_refusal(
    app: App, request_parts: dict[str, Any], status: int
) -> None:
    parts = {"method": "POST", "path": f"/sessions/{uuid4()}/fail"} | request_parts
    headers = {"Content-Type": "application/json", "Origin": LISTED} | parts.pop("headers", {})
    if not parts.pop("token", True):
        headers["Authorization"] = ""

    response = await app.call(
        uuid4(), parts.pop("method"), parts.pop("path"), headers=headers, **parts
    )

    assert response.status_code == status
    assert cors_headers(response.headers) == READABLE


ORIGIN = b"Origin: " + LISTED.encode() + b"\r\n"
START = b"GET /livez HTTP/1.1\r\n" + HOST + ORIGIN
MALFORMED = {
    "a long target": (
        b"GET /" + b"x" * TARGET_MAX_BYTES + b" HTTP/1.1\r\n" + HOST + ORIGIN + b"\r\n", 414
    ),
    "a large header": (START + b"X-Gym: " + b"x" * HEAD_MAX_BYTES, 431),
    "two hosts": (START + HOST + b"\r\n", 400),
    "an expectation": (START + b"Expect: a miracle\r\n\r\n", 417),
}  # fmt: skip


@pytest.mark.parametrize(("sent", "status"), MALFORMED.values(), ids=MALFORMED)
async def test_a_page_reads_the_refusals_of_the_connection(
    app: App, sent: bytes, status: int
) -> None:
    answer = await _answer_to(app, sent)

    assert answer.status == status
    assert cors_headers(answer.headers) == {name: value.lower() for name, value in READABLE.items()}


@pytest.mark.parametrize("late", ["head", "body"])
async def test_a_page_reads_that_its_request_took_too_long(late: str) -> None:
    sent = {
        "head": START + b"X-Gym: ",  # the parser gives a header when the next one has begun
        "body": b"POST /sessions HTTP/1.1\r\nContent-Length: 9\r\n" + HOST + ORIGIN + b"\r\n",
    }[late]
    async with a_bare_app(**allows, **{f"{late}_timeout_seconds": 0.05}) as app:
        answer = await _answer_to(app, sent)

    assert answer.headers["access-control-allow-origin"] == LISTED


async def _answer_to(app: App, sent: bytes) -> Answer:
    async with connected(app) as connection:
        await connection.send(sent)
        return await connection.answer()


async def test_no_answer_names_an_origin_that_is_not_listed(app: App) -> None:
    response = await app.client.get("/livez", headers={"Origin": OTHER})

    assert response.status_code == 200
    assert "Access-Control-Allow-Origin" not in response.headers
    assert response.headers["Vary"] == "Origin"


async def test_a_cache_keeps_answers_without_an_origin_apart(app: App) -> None:
    response = await app.client.get("/livez")

    assert cors_headers(response.headers) == {"vary": "Origin"}


async def test_an_asterisk_allows_every_origin() -> None:
    async with a_bare_app(cors_allowed_origins="*") as app:
        asked = await a_preflight(app, origin=OTHER, headers=REQUEST_HEADERS)
        response = await app.client.get("/livez", headers={"Origin": OTHER})
        refused = await app.client.get("/sessions", headers={"Origin": "null"})

    assert [each.status_code for each in (asked, response, refused)] == [200, 200, 401]
    for each in (asked, response, refused):
        assert each.headers["Access-Control-Allow-Origin"] == "*"
        assert "Access-Control-Allow-Credentials" not in each.headers


async def test_is_off_unless_origins_are_listed() -> None:
    async with a_bare_app() as app:
        asked = await a_preflight(app)
        response = await app.client.get("/livez", headers={"Origin": LISTED})

    assert (asked.status_code, asked.headers["Allow"]) == (405, "POST")
    assert cors_headers(asked.headers) == cors_headers(response.headers) == {}

# SPDX-License-Identifier: MIT
"""The middleware around every request: its refusals, its 500, and the line in the log."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID

import httpx2
import pytest
import structlog.testing
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from service.domain.errors import ServiceError
from service.http.errors import UriTooLong
from service.http.middleware import RequestMiddleware
from service.http.observing import ObservedRequest

TRACE, CALLERS = "4bf92f3577b34da6a3ce929d0e0e4736", "0af7651916cd43dd8448eb211c80319c"

Answer = tuple[int, dict[str, str], Any]


async def break_down(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise RuntimeError("the barbell fell")


async def be_cancelled(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise asyncio.CancelledError


async def lose_the_client(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise ClientDisconnect


async def break_down_after_the_head(scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await break_down(scope, _receive, send)


async def _nothing_more() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


async def ask(
    app: ASGIApp,
    *,
    refusal: ServiceError | None = None,
    headers: Sequence[tuple[bytes, bytes]] = (),
    **options: Any,
) -> list[dict[str, Any]]:
    """The messages that the server gets; the request has the id `phone-7`."""
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/sessions",
        "headers": [(b"x-request-id", b"phone-7"), *headers],
        "state": {} if refusal is None else {"refusal": refusal},
    }
    await RequestMiddleware(app, **options)(scope, _nothing_more, send)
    return sent


def answer_of(sent: list[dict[str, Any]]) -> Answer:
    headers = httpx2.Headers(sent[0]["headers"])
    return sent[0]["status"], dict(headers), json.loads(sent[1]["body"])


@pytest.fixture
async def lines() -> AsyncIterator[list[Any]]:
    with structlog.testing.capture_logs() as captured:
        yield captured


@pytest.mark.parametrize(
    ("app", "status", "code"),
    [(break_down, 500, "INTERNAL_ERROR"), (be_cancelled, 503, "DEPENDENCY_UNAVAILABLE")],
)
async def test_answers_for_an_app_that_does_not(
    lines: list[Any], app: ASGIApp, status: int, code: str
) -> None:
    answered, headers, body = answer_of(await ask(app))

    assert (answered, body["error"]["code"]) == (status, code)
    assert body["error"]["details"] == {"requestId": "phone-7"}
    assert (headers["x-request-id"], headers["cache-control"]) == ("phone-7", "no-store")
    assert (lines[-1]["event"], lines[-1]["status"], lines[-1]["code"]) == ("request", status, code)


async def test_logs_an_unexpected_error_with_the_request_id(lines: list[Any]) -> None:
    await ask(break_down)

    assert (lines[0]["event"], lines[0]["request_id"]) == ("unhandled", "phone-7")
    assert lines[0]["exc_info"]


async def test_tells_observers_of_a_refusal_and_of_a_client_that_went_away() -> None:
    seen = list[ObservedRequest]()

    await ask(break_down, refusal=UriTooLong(8192), observe=seen.append)
    await ask(lose_the_client, observe=seen.append)

    assert [each[:4] for each in seen] == [
        ("GET", None, 414, "URI_TOO_LONG"),
        ("GET", None, 499, None),
    ]
    assert all(each.seconds >= 0 for each in seen)


async def test_answers_with_the_refusal_of_the_connection(lines: list[Any]) -> None:
    status, headers, body = answer_of(await ask(break_down, refusal=UriTooLong(8192)))

    assert (status, headers["x-request-id"]) == (414, "phone-7")
    assert body["error"]["code"] == "URI_TOO_LONG"
    assert body["error"]["details"] == {"maxBytes": 8192, "requestId": "phone-7"}
    assert lines == [
        {
            "event": "request",
            "log_level": "info",
            "method": "GET",
            "route": None,
            "status": 414,
            "code": "URI_TOO_LONG",
            "duration_ms": lines[0]["duration_ms"],
            "request_id": "phone-7",
        }
    ]
    assert lines[0]["duration_ms"] == round(lines[0]["duration_ms"], 2)


async def test_logs_the_route_and_the_milliseconds(
    lines: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["route"] = Route("/sessions/{session_id}", break_down)
        await Response()(scope, receive, send)

    monkeypatch.setattr(time, "perf_counter", iter([100.0, 101.2345678]).__next__)
    await ask(app)

    assert (lines[0]["route"], lines[0]["duration_ms"]) == ("/sessions/{session_id}", 1234.57)


async def know_the_user(scope: Scope, receive: Receive, send: Send) -> None:
    scope["state"]["user_id"] = UUID(int=7)
    await Response()(scope, receive, send)


async def be_traced(scope: Scope, receive: Receive, send: Send) -> None:
    scope["state"]["trace_id"] = TRACE
    await Response()(scope, receive, send)


async def test_logs_the_name_that_the_user_has_in_the_log(lines: list[Any]) -> None:
    await ask(know_the_user, pseudonym=lambda user_id: f"user {user_id.int}")

    assert lines[0]["user"] == "user 7"


@pytest.mark.parametrize(
    ("app", "options"),
    [(know_the_user, {}), (Response(), {"pseudonym": str})],
    ids=["not wanted", "not known"],
)
async def test_logs_no_user_that_is_not_wanted_or_not_known(
    lines: list[Any], app: ASGIApp, options: dict[str, Any]
) -> None:
    await ask(app, **options)

    assert "user" not in lines[0]


@pytest.mark.parametrize(
    ("app", "traceparent", "logged"),
    [
        (be_traced, None, TRACE),
        (be_traced, f"00-{CALLERS}-00f067aa0ba902b7-01", TRACE),
        (Response(), f"00-{CALLERS}-00f067aa0ba902b7-01", CALLERS),
        (Response(), f"00-{CALLERS}-00f067aa0ba902b7", None),
        (Response(), None, None),
    ],
    ids=["own", "own and caller's", "caller's", "not valid", "none"],
)
async def test_logs_the_trace_where_there_is_one(
    lines: list[Any], app: ASGIApp, traceparent: str | None, logged: str | None
) -> None:
    headers = [(b"traceparent", traceparent.encode())] if traceparent else []

    await ask(app, headers=headers)

    assert lines[0].get("trace_id") == logged


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (UriTooLong(8192), "URI_TOO_LONG"),
        (HTTPException(404), "NOT_FOUND"),
        (HTTPException(405, headers={"Allow": "POST, GET"}), "METHOD_NOT_ALLOWED"),
    ],
    ids=["of the service", "unknown path", "wrong method"],
)
async def test_answers_an_error_and_leaves_its_code_for_the_log(
    lines: list[Any], raised: Exception, code: str
) -> None:
    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise raised

    _, _, body = answer_of(await ask(app))

    assert body["error"]["code"] == lines[-1]["code"] == code


async def test_sends_no_second_answer_after_the_head_of_the_first(lines: list[Any]) -> None:
    [start] = await ask(break_down_after_the_head)

    assert start["status"] == lines[-1]["status"] == 200


async def test_leaves_other_messages_of_the_server_alone() -> None:
    seen: list[Scope] = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append(scope)

    async def send(_message: Any) -> None: ...

    await RequestMiddleware(app)({"type": "lifespan"}, _nothing_more, send)

    assert seen == [{"type": "lifespan"}]


async def test_adds_its_headers_to_those_of_the_app(lines: list[Any]) -> None:
    response = Response(b"{}", 201, headers={"ETag": '"1"'})

    status, headers, _ = answer_of(await ask(response))

    assert (status, headers["etag"], headers["x-content-type-options"]) == (201, '"1"', "nosniff")
    assert lines[-1]["status"] == 201

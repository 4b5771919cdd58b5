# SPDX-License-Identifier: MIT
"""The spans of requests: their parents, their attributes, and what they never hold."""

from typing import Any
from uuid import uuid4

import pytest
from opentelemetry.trace import SpanKind, StatusCode
from starlette.types import Receive, Scope, Send
from structlog.testing import capture_logs

from service.observability.tracing.requests import RequestTracing
from tests.builders import SECRET, a_token, bearer
from tests.running import App, TestDatabase
from tests.tracing.conftest import StartApp
from tests.tracing.spans import (
    CALLER,
    TRACE_ID,
    TRACEPARENT,
    Spans,
    attributes_of,
    id_of,
    parent_of,
    trace_of,
)

A_SESSION = "01a202d7-9de4-735a-89ab-e5852f3d06c3"
UNREACHABLE = "postgresql://training:hip-hurts@127.0.0.1:1/training"


async def test_continues_the_trace_of_its_caller(
    app: App, database: TestDatabase, spans: Spans
) -> None:
    session = await database.a_session()
    with capture_logs() as lines:
        await app.fail(session, headers={"traceparent": TRACEPARENT})
        [span] = await spans.ended("POST")

    assert span.name == "POST /sessions/{session_id}/fail"
    assert (span.kind, trace_of(span), parent_of(span)) == (SpanKind.SERVER, TRACE_ID, CALLER)
    [event] = await database.events(session)
    assert event["traceparent"] == f"00-{TRACE_ID}-{id_of(span)}-01"
    [line] = [each for each in lines if each["event"] == "request"]
    assert line["trace_id"] == TRACE_ID


@pytest.mark.parametrize(
    "values",
    [
        [],
        [TRACEPARENT.upper()],
        [TRACEPARENT, TRACEPARENT],
        ["00-" + "0" * 32 + "-00f067aa0ba902b7-01"],
        [TRACEPARENT + "-more"],
        ["x" * 8000],
    ],
    ids=["none", "upper case", "two", "zeros", "longer", "very long"],
)
async def test_begins_a_trace_if_the_caller_gives_no_valid_one(
    app: App, database: TestDatabase, spans: Spans, values: list[str]
) -> None:
    session = await database.a_session()
    headers = [*bearer(a_token(session.user_id)).items()]
    headers += [("traceparent", value) for value in values]
    response = await app.client.post(f"/sessions/{session.id}/fail", headers=headers)

    [span] = await spans.ended("POST")
    assert response.status_code == 200
    assert span.parent is None
    [event] = await database.events(session)
    assert event["traceparent"].startswith(f"00-{trace_of(span)}-{id_of(span)}-")


async def test_is_not_recorded_if_the_caller_is_not(
    app: App, database: TestDatabase, spans: Spans
) -> None:
    session = await database.a_session()
    await app.fail(session, headers={"traceparent": TRACEPARENT[:-2] + "00"})

    [event] = await database.events(session)
    version, trace_id, span_id, flags = event["traceparent"].split("-")
    assert (version, trace_id, flags) == ("00", TRACE_ID, "00")
    assert span_id != CALLER
    assert spans.named() == []


async def test_has_the_attributes_of_the_conventions(
    app: App, database: TestDatabase, spans: Spans
) -> None:
    await app.fail(await database.a_session())

    [span] = await spans.ended("POST")
    assert attributes_of(span) == {
        "http.request.method": "POST",
        "http.route": "/sessions/{session_id}/fail",
        "http.response.status_code": 200,
        "network.protocol.version": "1.1",
        "url.scheme": "http",
    }
    assert span.status.status_code is StatusCode.UNSET


@pytest.mark.parametrize(
    ("method", "path", "told"),
    [
        ("GET", "/sessions/knee", ("GET /sessions/{session_id}", "VALIDATION_ERROR")),
        ("GET", f"/sessions/{A_SESSION}", ("GET /sessions/{session_id}", "SESSION_NOT_FOUND")),
        ("GET", "/my-knee", ("GET", "NOT_FOUND")),
        ("DELETE", "/sessions", ("DELETE /sessions", "METHOD_NOT_ALLOWED")),
        ("PROPFIND", "/sessions", ("HTTP /sessions", "METHOD_NOT_ALLOWED")),
        ("KNEE", "/sessions", ("HTTP", "BAD_REQUEST")),
    ],
    ids=["malformed", "absent", "no route", "wrong method", "rare method", "no method"],
)
async def test_names_the_code_of_a_refusal_and_does_not_count_it_as_a_failure(
    app: App, spans: Spans, method: str, path: str, told: tuple[str, str]
) -> None:
    await app.call(uuid4(), method, path)

    [span] = await spans.ended(told[0])
    assert (span.name, attributes_of(span)["error.type"]) == told
    assert span.status.status_code is StatusCode.UNSET


async def test_a_failure_of_the_database_marks_request_and_transaction_without_its_message(
    start_app: StartApp, spans: Spans
) -> None:
    app = await start_app(database_url=UNREACHABLE)
    response = await app.call(uuid4(), "GET", "/sessions")

    [request] = await spans.ended("GET")
    [transaction] = spans.named("transaction")
    assert response.status_code == 503
    assert attributes_of(request)["error.type"] == "DEPENDENCY_UNAVAILABLE"
    assert attributes_of(transaction)["error.type"] == "DependencyUnavailable"
    for span in (request, transaction):
        assert span.status.status_code is StatusCode.ERROR
        assert span.status.description is None
        assert span.events == ()


async def test_holds_no_text_of_a_user_no_token_and_no_login(
    start_app: StartApp, app: App, database: TestDatabase, spans: Spans
) -> None:
    session = await database.a_session()
    token = a_token(session.user_id)
    await app.fail(session, reason="knee-reason", headers={"Idempotency-Key": "knee-key"})
    await app.fail(session, reason="knee-again")
    await app.fail(session, content='{"reason": "knee-broken')
    await app.call(session.user_id, "POST", "/sessions", json={"notes": "knee-notes"})
    await app.call(session.user_id, "GET", "/knee-path?knee=query")
    await app.call(session.user_id, "KNEE-METHOD", "/sessions")
    await app.client.get("/sessions", headers=bearer(token) | {"User-Agent": "knee-agent"})
    await app.client.get("/sessions", headers={"Authorization": "Bearer knee-token"})
    unavailable = await start_app(database_url=UNREACHABLE)
    await unavailable.fail(session, reason="knee-reason")
    await spans.ended("", 19)

    told = "".join(span.to_json() for span in spans.named()).lower()
    for secret in ("knee", "hip-hurts", token, SECRET, str(session.user_id), "postgresql:"):
        assert secret.lower() not in told


async def test_probes_have_no_spans(app: App, database: TestDatabase, spans: Spans) -> None:
    for path in ("/livez", "/readyz"):
        assert (await app.client.get(path)).status_code == 200
    await app.get(await database.a_session())

    [*names] = [each.name for each in await spans.ended("GET")]
    assert names == ["GET /sessions/{session_id}"]


async def test_a_client_that_has_gone_gets_no_status(spans: Spans) -> None:
    async def answer_nobody(_scope: Scope, _receive: Receive, _send: Send) -> None:
        pass

    async def never(*_: Any) -> Any:
        raise AssertionError

    scope = {"type": "http", "method": "GET", "path": "/sessions", "headers": []}
    traced = RequestTracing(spans.provider).trace_requests(answer_nobody)
    await traced(scope | {"scheme": "http", "http_version": "1.1"}, never, never)

    [span] = spans.named()
    assert attributes_of(span)["error.type"] == "client_disconnected"
    assert "http.response.status_code" not in attributes_of(span)


async def test_lets_everything_but_requests_pass(spans: Spans) -> None:
    passed: list[Scope] = []

    async def note(scope: Scope, _receive: Receive, _send: Send) -> None:
        passed.append(scope)

    await RequestTracing(spans.provider).trace_requests(note)({"type": "lifespan"}, None, None)  # type: ignore[arg-type]  # not used

    assert passed == [{"type": "lifespan"}]
    assert spans.named() == []

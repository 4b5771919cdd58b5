# SPDX-License-Identifier: MIT
"""The hook that holds answers against the description fails for an app that answers untruly."""

import json
from typing import Any

import httpx2
import pytest
from starlette.types import Receive, Scope, Send

from service.http.openapi import examples
from service.http.presenter import session_envelope
from tests.conformance import assert_all_conform, describing, hold_response

EVERY = {
    "X-Request-Id": "tap-1",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Content-Type": "application/json",
}
READ = EVERY | {"ETag": '"3"'}
SESSION = json.loads(session_envelope(examples.failed_session()))
PATH = f"/sessions/{examples.SESSION_ID}"


def _with(**fields: Any) -> dict[str, Any]:
    return {"data": {"session": SESSION["data"]["session"] | fields}, "meta": {}}


def _error(code: str, **details: Any) -> dict[str, Any]:
    facts = {"requestId": "tap-1"} | details
    return {"error": {"code": code, "message": "It is not so.", "details": facts}}


def _without(headers: dict[str, str], name: str) -> dict[str, str]:
    return {key: value for key, value in headers.items() if key != name}


TRUE = {
    "a session": (PATH, 200, READ, SESSION),
    "an unchanged session": (PATH, 304, _without(READ, "Content-Type"), None),
    "a missing session": (PATH, 404, EVERY, _error("SESSION_NOT_FOUND")),
    "an unknown path": ("/nowhere", 404, EVERY, _error("NOT_FOUND")),
    "a bad connection": ("/", 400, EVERY, _error("BAD_REQUEST", reason="Host is missing")),
}
UNTRUE = {
    "another status": (PATH, 202, READ, SESSION),
    "a field more": (PATH, 200, READ, _with(mood="sore")),
    "a field of another type": (PATH, 200, READ, _with(rpe="7")),
    "an unknown status of a session": (PATH, 200, READ, _with(status="lost")),
    "a time that is none": (PATH, 200, READ, _with(updatedAt="yesterday")),
    "no body": (PATH, 200, READ, None),
    "no ETag": (PATH, 200, EVERY, SESSION),
    "a weak ETag": (PATH, 200, EVERY | {"ETag": 'W/"3"'}, SESSION),
    "no request id": (PATH, 200, _without(READ, "X-Request-Id"), SESSION),
    "a header more": (PATH, 200, READ | {"Location": PATH}, SESSION),
    "another content type": (PATH, 200, READ | {"Content-Type": "text/plain"}, SESSION),
    "a body that must be empty": (PATH, 304, _without(READ, "Content-Type"), SESSION),
    "a code of another call": (PATH, 404, EVERY, _error("NO_REPETITIONS")),
    "an unknown code": (PATH, 404, EVERY, _error("LOST")),
    "details of another code": (PATH, 404, EVERY, _error("SESSION_NOT_FOUND", maxBytes=1)),
    "no details": (PATH, 400, EVERY, _error("BAD_REQUEST")),
    "an unknown path that exists": ("/nowhere", 200, EVERY, SESSION),
}


async def _answer(path: str, status: int, headers: dict[str, str], body: Any) -> httpx2.Response:
    """By an app that answers so, and that is held against the description."""

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": pairs})
        content = b"" if body is None else json.dumps(body).encode()
        await send({"type": "http.response.body", "body": content})

    transport = httpx2.ASGITransport(app=describing(app, None))
    async with httpx2.AsyncClient(transport=transport, base_url="http://gym") as client:
        return await client.get(path)


@pytest.mark.parametrize("answer", TRUE.values(), ids=TRUE)
async def test_accepts_an_answer_that_is_as_described(answer: Any) -> None:
    await _answer(*answer)

    assert_all_conform()


@pytest.mark.parametrize("answer", UNTRUE.values(), ids=UNTRUE)
async def test_fails_a_test_whose_app_answers_otherwise(answer: Any) -> None:
    await _answer(*answer)

    with pytest.raises(AssertionError, match=r"differ from GET /openapi\.json"):
        assert_all_conform()


async def test_fails_a_test_whose_process_answers_otherwise() -> None:
    response = await _answer(*UNTRUE["a field more"])
    with pytest.raises(AssertionError):
        assert_all_conform()

    await hold_response(response)

    with pytest.raises(AssertionError, match="mood"):
        assert_all_conform()

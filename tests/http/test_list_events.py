# SPDX-License-Identifier: MIT
"""GET /sessions/{sessionId}/events: the history of a session."""

from typing import Any
from uuid import uuid4

import httpx2
import pytest

from service.domain.session import Session
from tests.builders import a_session, a_token, bearer
from tests.http.responses import error_of
from tests.running import App, TestDatabase


async def history(app: App, session: Session, **parameters: Any) -> httpx2.Response:
    path = f"/sessions/{session.id}/events"
    return await app.call(session.user_id, "GET", path, params=parameters)


async def a_whole_life(app: App) -> Session:
    user_id = uuid4()
    body = {"sessionDate": "2026-11-22T09:00:00Z", "sets": [12]}
    planned = await app.call(user_id, "POST", "/sessions", json=body)
    session = a_session(user_id=user_id, id=planned.json()["data"]["session"]["id"])
    for command in ("start", "complete"):
        path = f"/sessions/{session.id}/{command}"
        assert (await app.call(user_id, "POST", path)).status_code == 200
    return session


async def test_returns_200_with_the_events_oldest_first(app: App, database: TestDatabase) -> None:
    session = await a_whole_life(app)

    response = await history(app, session)

    events = response.json()["data"]["events"]
    stored = await database.events()
    assert response.status_code == 200
    assert response.json()["meta"] == {}
    assert [(each["type"], each["sessionVersion"], each["data"]) for each in events] == [
        ("session_planned", 1, {"sessionDate": "2026-11-22T09:00:00Z"}),
        ("session_started", 2, {}),
        ("session_completed", 3, {"sets": [12], "totalReps": 12, "rpe": None}),
    ]
    assert [each["id"] for each in events] == [str(each["id"]) for each in stored]
    assert [set(each) for each in events] == [
        {"id", "type", "sessionVersion", "occurredAt", "data"}
    ] * 3
    assert events[2]["occurredAt"] == stored[2]["occurred_at"].isoformat().replace("+00:00", "Z")


@pytest.mark.parametrize(("limit", "versions"), [(1, [[1], [2], [3]]), (2, [[1, 2], [3]])])
async def test_a_page_begins_after_its_cursor(
    app: App, limit: int, versions: list[list[int]]
) -> None:
    session = await a_whole_life(app)
    found = []
    parameters: dict[str, Any] = {"limit": limit}
    while parameters:
        page = (await history(app, session, **parameters)).json()
        found.append([each["sessionVersion"] for each in page["data"]["events"]])
        cursor = page["meta"].get("nextCursor")
        parameters = {"limit": limit, "cursor": cursor} if cursor else {}

    assert found == versions


async def test_returns_an_empty_history_for_a_session_inserted_by_another_program(
    app: App, database: TestDatabase
) -> None:
    session = await database.a_session()

    assert (await history(app, session)).json() == {"data": {"events": []}, "meta": {}}


async def test_returns_the_same_404_for_a_session_of_another_user(app: App) -> None:
    session = await a_whole_life(app)
    stranger = bearer(a_token()) | {"X-Request-Id": "same"}

    theirs = await app.client.get(f"/sessions/{session.id}/events", headers=stranger)
    missing = await app.client.get(f"/sessions/{uuid4()}/events", headers=stranger)

    assert (theirs.status_code, error_of(theirs)["code"]) == (404, "SESSION_NOT_FOUND")
    assert theirs.content == missing.content


@pytest.mark.parametrize(
    ("query", "path", "code"),
    [
        ("limit=0", ["limit"], "too_small"),
        ("status=failed", ["status"], "unknown_field"),
        ("cursor=AAAAAR", ["cursor"], "invalid_cursor"),
        ("cursor=_____w", ["cursor"], "invalid_cursor"),
        ("cursor=" + "A" * 32, ["cursor"], "invalid_cursor"),
    ],
)
async def test_returns_400_for_a_query_that_does_not_match_the_schema(
    app: App, query: str, path: list[Any], code: str
) -> None:
    response = await app.client.get(
        f"/sessions/{uuid4()}/events?{query}", headers=bearer(a_token())
    )

    [issue] = error_of(response)["details"]["issues"]
    assert (response.status_code, issue["path"], issue["code"]) == (400, path, code)


async def test_returns_400_for_a_session_id_that_is_not_a_uuid(app: App) -> None:
    response = await app.client.get("/sessions/knee/events", headers=bearer(a_token()))

    assert response.status_code == 400


async def test_returns_401_without_a_token(app: App) -> None:
    assert (await app.client.get("/sessions/knee/events")).status_code == 401

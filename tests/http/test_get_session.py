# SPDX-License-Identifier: MIT
"""GET /sessions/{sessionId}."""

import pytest

from tests.builders import a_session, a_token, bearer
from tests.running import App, TestDatabase


async def test_returns_200_with_the_session(app: App, database: TestDatabase) -> None:
    session = await database.a_session(version=5, notes=None, rpe=None, sets=())

    response = await app.get(session)

    assert response.status_code == 200
    assert response.headers["ETag"] == '"5"'
    assert response.json()["data"]["session"] == {
        "id": str(session.id),
        "status": "in_progress",
        "sessionDate": "2026-11-22T09:00:00Z",
        "startedAt": "2026-11-22T09:00:00Z",
        "endedAt": None,
        "sets": [],
        "totalReps": 0,
        "rpe": None,
        "notes": None,
        "createdAt": "2026-11-22T09:00:00Z",
        "updatedAt": "2026-11-22T09:00:00Z",
    }


async def test_head_returns_the_same_without_the_body(app: App, database: TestDatabase) -> None:
    session = await database.a_session()

    response = await app.client.head(
        f"/sessions/{session.id}", headers=bearer(a_token(session.user_id))
    )

    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["ETag"] == '"1"'


@pytest.mark.parametrize("if_none_match", ['"1"', 'W/"1"', '"0", "1"', "*"])
async def test_returns_304_when_if_none_match_names_the_version(
    app: App, database: TestDatabase, if_none_match: str
) -> None:
    session = await database.a_session()

    response = await app.get(session, {"If-None-Match": if_none_match})

    assert (response.status_code, response.content) == (304, b"")
    assert response.headers["ETag"] == '"1"'
    assert response.headers["Cache-Control"] == "no-store"


async def test_returns_200_when_if_none_match_names_another_version(
    app: App, database: TestDatabase
) -> None:
    session = await database.a_session()

    assert (await app.get(session, {"If-None-Match": '"2"'})).status_code == 200


async def test_returns_404_when_the_session_does_not_exist(app: App) -> None:
    response = await app.get(a_session(), {"If-None-Match": "*"})

    assert response.status_code == 404
    assert response.json()["error"]["code"] == "SESSION_NOT_FOUND"


async def test_returns_400_for_a_session_id_that_is_not_a_uuid(app: App) -> None:
    response = await app.client.get("/sessions/knee", headers=bearer(a_token()))

    assert response.json()["error"]["code"] == "VALIDATION_ERROR"


async def test_returns_401_without_a_token(app: App) -> None:
    response = await app.client.get("/sessions/knee")

    assert response.status_code == 401

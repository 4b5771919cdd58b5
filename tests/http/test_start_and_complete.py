# SPDX-License-Identifier: MIT
"""POST /sessions/{sessionId}/start and /complete. Rules shared with fail: test_fail_session."""

from typing import Any
from uuid import uuid4

import httpx2
import pytest

from service.domain.session import Session
from tests.builders import a_session
from tests.http.responses import error_of
from tests.running import App, TestDatabase


async def start(app: App, session: Session, **options: Any) -> httpx2.Response:
    return await app.call(session.user_id, "POST", f"/sessions/{session.id}/start", **options)


async def complete(app: App, session: Session, **options: Any) -> httpx2.Response:
    return await app.call(session.user_id, "POST", f"/sessions/{session.id}/complete", **options)


COMMANDS = {"start": ("planned", start), "complete": ("in_progress", complete)}
both = pytest.mark.parametrize("command", COMMANDS)


async def test_start_returns_200_and_records_the_event(app: App, database: TestDatabase) -> None:
    session = await database.a_session(status="planned", version=3)
    before = await database.row(session)

    response = await start(app, session)

    row = await database.row(session)
    [event] = await database.events()
    assert response.status_code == 200
    assert response.json()["data"]["session"]["status"] == "in_progress"
    assert response.headers["ETag"] == '"4"'
    assert response.headers["Content-Location"] == f"/sessions/{session.id}"
    assert "Location" not in response.headers
    assert row == before | {
        "status": "in_progress",
        "started_at": event["occurred_at"],
        "version": 4,
        "updated_at": event["occurred_at"],
    }
    assert (event["event_type"], event["event_data"]) == ("session_started", {})
    assert await database.outbox() == [event["id"]]


@pytest.mark.parametrize(
    ("body", "sets", "rpe"),
    [
        ({}, [12, 10, None], 7),
        ({"sets": None, "rpe": None}, [12, 10, None], 7),
        ({"sets": [8, 8]}, [8, 8], 7),
        ({"rpe": 10}, [12, 10, None], 10),
        ({"sets": [1, None], "rpe": 1}, [1, None], 1),
    ],
    ids=str,
)
async def test_complete_replaces_what_is_given(
    app: App, database: TestDatabase, body: dict[str, Any], sets: list[int | None], rpe: int
) -> None:
    session = await database.a_session()

    response = await complete(app, session, json=body)

    answer = response.json()["data"]["session"]
    total = sum(reps or 0 for reps in sets)
    [event] = await database.events()
    assert response.status_code == 200
    assert (answer["status"], answer["sets"], answer["rpe"]) == ("completed", sets, rpe)
    assert answer["totalReps"] == total
    assert event["event_type"] == "session_completed"
    assert event["event_data"] == {"sets": sets, "totalReps": total, "rpe": rpe}
    assert (await app.get(session)).content == response.content


@pytest.mark.parametrize("sets", [[], [None, None]])
async def test_complete_returns_422_without_any_repetition(
    app: App, database: TestDatabase, sets: list[None]
) -> None:
    session = await database.a_session()

    response = await complete(app, session, json={"sets": sets})

    error = error_of(response)
    assert (response.status_code, error["code"]) == (422, "NO_REPETITIONS")
    assert (await database.row(session))["status"] == "in_progress"


@pytest.mark.parametrize(
    ("body", "path", "code"),
    [
        ({"rpe": 0}, ["rpe"], "too_small"),
        ({"rpe": 11}, ["rpe"], "too_large"),
        ({"rpe": 7.0}, ["rpe"], "invalid_type"),
        ({"rpe": True}, ["rpe"], "invalid_type"),
        ({"sets": [0]}, ["sets", 0], "too_small"),
        ({"notes": "legs"}, ["notes"], "unknown_field"),
    ],
    ids=str,
)
async def test_complete_returns_400_for_a_body_that_does_not_match_the_schema(
    app: App, body: dict[str, Any], path: list[Any], code: str
) -> None:
    response = await complete(app, a_session(), json=body)

    [issue] = error_of(response)["details"]["issues"]
    assert response.status_code == 400
    assert (issue["path"], issue["code"]) == (path, code)


async def test_start_returns_400_for_any_field(app: App) -> None:
    response = await start(app, a_session(), json={"at": "now"})

    assert error_of(response)["details"]["issues"][0]["code"] == "unknown_field"


async def test_complete_returns_422_for_a_planned_session(app: App, database: TestDatabase) -> None:
    session = await database.a_session(status="planned")

    response = await complete(app, session)

    assert (response.status_code, error_of(response)["code"]) == (422, "INVALID_STATUS")


@pytest.mark.parametrize("status", ["in_progress", "completed", "failed"])
async def test_start_returns_409_for_a_session_that_is_not_planned(
    app: App, database: TestDatabase, status: str
) -> None:
    session = await database.a_session(status=status)

    response = await start(app, session)

    error = error_of(response)
    assert (response.status_code, error["code"]) == (409, "INVALID_STATUS")
    assert error["details"]["requiredStatus"] == "planned"


@pytest.mark.parametrize("status", ["completed", "failed"])
async def test_complete_returns_409_for_a_session_that_has_ended(
    app: App, database: TestDatabase, status: str
) -> None:
    session = await database.a_session(status=status)

    response = await complete(app, session)

    assert (response.status_code, error_of(response)["code"]) == (409, "INVALID_STATUS")


async def test_start_returns_409_while_another_session_is_in_progress(
    app: App, database: TestDatabase
) -> None:
    active = await database.a_session()
    session = await database.a_session(user_id=active.user_id, status="planned")

    response = await start(app, session, headers={"If-Match": '"9"'})

    error = error_of(response)
    assert (response.status_code, error["code"]) == (409, "ACTIVE_SESSION_EXISTS")
    assert error["details"] == {"activeSessionId": str(active.id)}
    assert (await database.row(session))["status"] == "planned"
    assert await database.events() == []


async def test_a_session_starts_once_the_session_in_progress_has_ended(
    app: App, database: TestDatabase
) -> None:
    active = await database.a_session()
    session = await database.a_session(user_id=active.user_id, status="planned")

    assert (await complete(app, active)).status_code == 200
    assert (await start(app, session)).status_code == 200


@both
async def test_returns_404_when_the_session_does_not_exist(
    app: App, database: TestDatabase, command: str
) -> None:
    status, execute = COMMANDS[command]
    theirs = await database.a_session(status=status)

    response = await execute(app, a_session(id=theirs.id, user_id=uuid4()))

    assert (response.status_code, error_of(response)["code"]) == (404, "SESSION_NOT_FOUND")


@both
async def test_returns_412_when_if_match_names_another_version(
    app: App, database: TestDatabase, command: str
) -> None:
    status, execute = COMMANDS[command]
    session = await database.a_session(status=status)

    refused = await execute(app, session, headers={"If-Match": '"2"'})
    done = await execute(app, session, headers={"If-Match": '"1"'})

    assert (refused.status_code, done.status_code) == (412, 200)
    assert error_of(refused)["details"]["reason"] == "other_version"


@both
@pytest.mark.parametrize("if_match", ['W/"1"', 'W/"1", "2"', '"2", W/"1"', 'W/"9"'])
async def test_says_that_a_weak_tag_never_matches(
    app: App, database: TestDatabase, command: str, if_match: str
) -> None:
    status, execute = COMMANDS[command]
    session = await database.a_session(status=status)

    response = await execute(app, session, headers={"If-Match": if_match})

    error = error_of(response)
    assert (response.status_code, error["code"]) == (412, "PRECONDITION_FAILED")
    assert (error["details"]["reason"], error["details"]["currentVersion"]) == ("weak_tag", 1)
    assert "weak tag" in error["message"]
    assert "changed" not in error["message"]
    assert await database.events() == []


@both
async def test_takes_a_list_whose_strong_tag_matches_beside_a_weak_one(
    app: App, database: TestDatabase, command: str
) -> None:
    status, execute = COMMANDS[command]
    session = await database.a_session(status=status)

    response = await execute(app, session, headers={"If-Match": 'W/"1", "1"'})

    assert response.status_code == 200


@both
async def test_replays_the_response_when_the_key_and_the_command_are_the_same(
    app: App, database: TestDatabase, command: str
) -> None:
    status, execute = COMMANDS[command]
    session = await database.a_session(status=status)
    key = {"Idempotency-Key": "retry-1"}

    first = await execute(app, session, headers=key)
    again = await execute(app, session, headers=key)
    other = await app.fail(session, headers=key)

    assert (first.status_code, again.status_code) == (200, 200)
    assert again.content == first.content
    assert again.headers["Idempotent-Replayed"] == "true"
    assert (other.status_code, error_of(other)["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert len(await database.events()) == 1


async def test_returns_422_when_a_key_is_used_with_absent_and_with_empty_sets(
    app: App, database: TestDatabase
) -> None:
    session = await database.a_session()
    key = {"Idempotency-Key": "retry-1"}

    done = await complete(app, session, headers=key)
    other = await complete(app, session, json={"sets": []}, headers=key)

    assert (done.status_code, other.status_code) == (200, 422)

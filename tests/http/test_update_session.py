# SPDX-License-Identifier: MIT
"""PATCH /sessions/{sessionId}. Rules shared with fail: test_fail_session."""

import json
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from service.domain.session import Session
from tests.builders import a_session, a_token, bearer
from tests.http.responses import error_of
from tests.running import App, TestDatabase

DATE = "2026-11-23T09:00:00Z"


async def update(app: App, session: Session, **options: Any) -> httpx2.Response:
    return await app.call(session.user_id, "PATCH", f"/sessions/{session.id}", **options)


async def test_returns_200_and_records_the_values_after_the_change(
    app: App, database: TestDatabase
) -> None:
    session = await database.a_session(version=3)
    before = await database.row(session)

    response = await update(app, session, json={"sets": [12, 8], "notes": " stopped early "})

    row = await database.row(session)
    [event] = await database.events()
    assert response.status_code == 200
    assert (response.headers["ETag"], response.headers["Content-Location"]) == (
        '"4"',
        f"/sessions/{session.id}",
    )
    assert row == before | {
        "sets": [12, 8],
        "notes": "stopped early",
        "version": 4,
        "updated_at": event["occurred_at"],
    }
    assert (event["event_type"], event["session_version"]) == ("session_updated", 4)
    assert event["event_data"] == {
        "sets": [12, 8],
        "totalReps": 20,
        "rpe": 7,
        "notes": "stopped early",
        "sessionDate": "2026-11-22T09:00:00Z",
    }
    assert await database.outbox() == [event["id"]]
    assert (await app.get(session)).content == response.content


async def test_a_failed_session_keeps_the_sets_that_were_really_done(
    app: App, database: TestDatabase
) -> None:
    session = await database.a_session(sets=(12, 12, 12))
    await update(app, session, json={"sets": [12, 7, None], "rpe": 9})

    failed = await app.fail(session, reason="shoulder pain")

    answer = failed.json()["data"]["session"]
    assert (answer["status"], answer["sets"], answer["totalReps"]) == ("failed", [12, 7, None], 19)
    assert answer["rpe"] == 9
    history = await app.call(session.user_id, "GET", f"/sessions/{session.id}/events")
    assert [each["type"] for each in history.json()["data"]["events"]] == [
        "session_updated",
        "session_failed",
    ]


@pytest.mark.parametrize(
    ("body", "changed"),
    [
        ({"rpe": None}, {"rpe": None}),
        ({"notes": None}, {"notes": None}),
        ({"notes": "  "}, {"notes": None}),
        ({"sets": []}, {"sets": []}),
        ({"sets": [None, 5], "rpe": 1}, {"sets": [None, 5], "rpe": 1}),
        ({"sessionDate": DATE}, {"sessionDate": DATE}),
    ],
    ids=str,
)
async def test_replaces_given_values_of_a_planned_session_and_leaves_the_others(
    app: App, database: TestDatabase, body: dict[str, Any], changed: dict[str, Any]
) -> None:
    session = await database.a_session(status="planned")
    before = (await app.get(session)).json()["data"]["session"]

    answer = (await update(app, session, json=body)).json()["data"]["session"]

    computed = {name: answer[name] for name in ("totalReps", "updatedAt")}
    assert answer == before | changed | computed
    assert answer["totalReps"] == sum(each or 0 for each in answer["sets"])


async def test_a_kind_of_event_repeats_within_a_session(app: App, database: TestDatabase) -> None:
    session = await database.a_session()

    for sets in ([12], [12, 10], [12, 10, 8]):
        assert (await update(app, session, json={"sets": sets})).status_code == 200

    events = await database.events()
    assert [each["event_type"] for each in events] == ["session_updated"] * 3
    assert [each["session_version"] for each in events] == [2, 3, 4]


@pytest.mark.parametrize(
    "body",
    [
        {"sets": [12, 10, None]},
        {"rpe": 7, "notes": " knee felt fine "},
        {"sessionDate": "2026-11-22T10:00:00+01:00"},
    ],
    ids=["sets", "rpe and notes", "the same time in another zone"],
)
@pytest.mark.parametrize("status", ["planned", "in_progress"])
async def test_a_change_that_changes_nothing_is_200_without_a_new_version_or_event(
    app: App, database: TestDatabase, status: str, body: dict[str, Any]
) -> None:
    session = await database.a_session(status=status)
    before = await database.row(session)

    response = await update(app, session, json=body, headers={"If-Match": '"1"'})

    assert (response.status_code, response.headers["ETag"]) == (200, '"1"')
    assert response.content == (await app.get(session)).content
    assert await database.row(session) == before
    assert await database.events() == await database.outbox() == []


async def test_a_key_of_a_change_that_changed_nothing_may_be_used_again(
    app: App, database: TestDatabase
) -> None:
    session = await database.a_session()
    key = {"Idempotency-Key": "tap-1"}

    nothing = await update(app, session, json={"rpe": 7}, headers=key)
    change = await update(app, session, json={"rpe": 8}, headers=key)

    assert [nothing.status_code, change.status_code] == [200, 200]
    assert "Idempotent-Replayed" not in change.headers


async def test_a_retry_with_the_key_gets_the_first_answer_though_the_session_has_changed(
    app: App, database: TestDatabase
) -> None:
    session = await database.a_session()
    key = {"Idempotency-Key": "tap-1"}
    first = await update(app, session, json={"rpe": 8}, headers=key)
    await update(app, session, json={"rpe": 9})

    again = await update(app, session, json={"rpe": 8}, headers=key)
    other = await update(app, session, json={"rpe": 5}, headers=key)

    assert (again.status_code, again.content) == (200, first.content)
    assert again.headers["ETag"] == first.headers["ETag"]
    assert again.headers["Idempotent-Replayed"] == "true"
    assert (other.status_code, error_of(other)["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert (await database.row(session))["rpe"] == 9


@pytest.mark.parametrize("body", [{"rpe": 8}, {"rpe": 7}], ids=["a change", "no change"])
@pytest.mark.parametrize("status", ["completed", "failed"])
async def test_returns_409_for_a_final_session(
    app: App, database: TestDatabase, status: str, body: dict[str, Any]
) -> None:
    session = await database.a_session(status=status)
    before = await database.row(session)

    response = await update(app, session, json=body)

    error = error_of(response)
    assert (response.status_code, error["code"]) == (409, "INVALID_STATUS")
    assert error["details"]["currentStatus"] == status
    assert error["details"]["requiredStatus"] == "in_progress"
    assert await database.row(session) == before


async def test_returns_409_for_another_date_of_a_session_in_progress(
    app: App, database: TestDatabase
) -> None:
    session = await database.a_session()
    before = await database.row(session)

    response = await update(app, session, json={"sessionDate": DATE, "rpe": 8})

    details = error_of(response)["details"]
    assert (response.status_code, error_of(response)["code"]) == (409, "INVALID_STATUS")
    assert (details["currentStatus"], details["requiredStatus"]) == ("in_progress", "planned")
    assert await database.row(session) == before


@pytest.mark.parametrize(
    ("content", "path", "code"),
    [
        (b"", [], "nothing_given"),
        (b"{}", [], "nothing_given"),
        (b'{"sets": null}', ["sets"], "invalid_type"),
        (b'{"sessionDate": null}', ["sessionDate"], "invalid_type"),
        (b'{"sessionDate": "tomorrow"}', ["sessionDate"], "invalid_date_time"),
        (b'{"sets": [0]}', ["sets", 0], "too_small"),
        (b'{"sets": "12"}', ["sets"], "invalid_type"),
        (b'{"rpe": 11}', ["rpe"], "too_large"),
        (json.dumps({"notes": "a" * 2001}).encode(), ["notes"], "too_long"),
        (b'{"reason": "knee"}', ["reason"], "unknown_field"),
        (b'{"startNow": true}', ["startNow"], "unknown_field"),
        (b'{"status": "failed"}', ["status"], "unknown_field"),
        (b'{"rpe": 7, "rpe": 8}', [], "invalid_json"),
        (b"[]", [], "invalid_type"),
    ],
    ids=lambda value: value.decode()[:30] if isinstance(value, bytes) else "",
)
async def test_returns_400_for_a_body_that_does_not_match_the_schema(
    app: App, database: TestDatabase, content: bytes, path: list[Any], code: str
) -> None:
    session = await database.a_session()

    response = await update(
        app, session, content=content, headers={"Content-Type": "application/json"}
    )

    error = error_of(response)
    assert (response.status_code, error["code"]) == (400, "VALIDATION_ERROR")
    [issue] = error["details"]["issues"]
    assert (issue["path"], issue["code"]) == (path, code)
    assert await database.events() == []


async def test_does_not_tell_that_null_is_allowed_where_it_is_not(app: App) -> None:
    response = await update(app, a_session(), json={"sets": None})

    [issue] = error_of(response)["details"]["issues"]
    assert issue["message"] == "It must not be null."


async def test_returns_422_for_a_forbidden_character_in_notes(
    app: App, database: TestDatabase
) -> None:
    session = await database.a_session()

    response = await update(app, session, json={"notes": "knee\x00"})

    assert (response.status_code, error_of(response)["code"]) == (422, "INVALID_NOTES")


async def test_returns_404_for_another_users_session(app: App, database: TestDatabase) -> None:
    session = await database.a_session()
    stranger = bearer(a_token(uuid4()))

    missing = await app.client.patch(f"/sessions/{uuid4()}", json={"rpe": 8}, headers=stranger)
    foreign = await app.client.patch(f"/sessions/{session.id}", json={"rpe": 8}, headers=stranger)

    assert [missing.status_code, foreign.status_code] == [404, 404]
    assert error_of(missing)["message"] == error_of(foreign)["message"]
    assert (await database.row(session))["rpe"] == 7


async def test_returns_412_for_another_version(app: App, database: TestDatabase) -> None:
    session = await database.a_session(version=3)

    stale = await update(app, session, json={"rpe": 8}, headers={"If-Match": '"2"'})
    current = await update(app, session, json={"rpe": 8}, headers={"If-Match": '"3"'})

    assert [stale.status_code, current.status_code] == [412, 200]
    assert error_of(stale)["details"]["currentVersion"] == 3


async def test_returns_401_without_a_token(app: App) -> None:
    response = await app.client.patch(f"/sessions/{uuid4()}", json={"rpe": 8})

    assert response.status_code == 401


async def test_takes_the_longest_notes_and_refuses_a_larger_body(
    app: App, database: TestDatabase
) -> None:
    session = await database.a_session()
    longest = json.dumps({"notes": "\U0001d11e" * 2000})  # each escaped as two surrogates
    headers = {"Content-Type": "application/json"}

    stored = await update(app, session, content=longest.encode(), headers=headers)
    refused = await update(app, session, content=b" " * (80 * 1024 + 1), headers=headers)

    assert [stored.status_code, refused.status_code] == [200, 413]
    assert (await database.row(session))["notes"] == "\U0001d11e" * 2000

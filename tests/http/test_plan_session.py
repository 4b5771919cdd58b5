# SPDX-License-Identifier: MIT
"""POST /sessions: the session that it creates, refusals, and retries."""

import asyncio
import json
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from structlog.testing import CapturingLogger

from service.http import token_refusals
from tests.builders import code_points
from tests.http.responses import JSON, error_of
from tests.running import App, TestDatabase

NINE = "2026-11-22T09:00:00Z"


async def plan(app: App, user_id: UUID, *, key: str | None = None, **body: Any) -> httpx2.Response:
    headers = {"Idempotency-Key": key} if key else {}
    return await app.call(user_id, "POST", "/sessions", json=body, headers=headers)


async def test_returns_201_with_the_session_planned(app: App, database: TestDatabase) -> None:
    user_id = uuid4()

    response = await plan(app, user_id, sessionDate=NINE, sets=[12, None], notes=" leg day ")

    session = response.json()["data"]["session"]
    row = (await database.fetch("SELECT * FROM sessions"))[0]
    made = row["created_at"].isoformat().replace("+00:00", "Z")
    assert response.status_code == 201
    assert response.json()["meta"] == {}
    assert session == {
        "id": str(row["id"]),
        "status": "planned",
        "sessionDate": NINE,
        "startedAt": None,
        "endedAt": None,
        "sets": [12, None],
        "totalReps": 12,
        "rpe": None,
        "notes": "leg day",
        "createdAt": made,
        "updatedAt": made,
    }
    assert row["user_id"] == user_id
    assert response.headers["ETag"] == '"1"'
    assert response.headers["Location"] == f"/sessions/{session['id']}"
    assert response.headers["Content-Location"] == response.headers["Location"]
    assert "Idempotent-Replayed" not in response.headers


async def test_get_returns_the_same_body_and_etag_afterwards(app: App) -> None:
    user_id = uuid4()

    planned = await plan(app, user_id)
    read = await app.call(user_id, "GET", planned.headers["Location"])

    assert (read.content, read.headers["ETag"]) == (planned.content, planned.headers["ETag"])


async def test_records_the_event(app: App, database: TestDatabase) -> None:
    user_id = uuid4()

    planned = await plan(app, user_id, sessionDate="2026-11-22T10:00:00+01:00")

    [event] = await database.events()
    assert event["event_type"] == "session_planned"
    assert event["event_data"] == {"sessionDate": NINE}
    assert (event["user_id"], event["session_version"]) == (user_id, 1)
    assert str(event["session_id"]) == planned.json()["data"]["session"]["id"]
    assert await database.outbox() == [event["id"]]


@pytest.mark.parametrize("content", [b"", b"{}", b'{"sets": null, "sessionDate": null}'])
async def test_every_field_is_optional(app: App, content: bytes) -> None:
    response = await app.call(uuid4(), "POST", "/sessions", content=content, headers=JSON)

    session = response.json()["data"]["session"]
    assert response.status_code == 201
    assert (session["sets"], session["notes"]) == ([], None)
    assert session["sessionDate"] == session["createdAt"]


async def test_start_now_creates_a_session_in_progress_with_both_events(
    app: App, database: TestDatabase
) -> None:
    response = await plan(app, uuid4(), startNow=True, key="k")

    assert response.status_code == 201
    assert response.json()["data"]["session"]["status"] == "in_progress"
    assert response.headers["ETag"] == '"2"'
    events = await database.events()
    assert [(each["event_type"], each["session_version"]) for each in events] == [
        ("session_planned", 1),
        ("session_started", 2),
    ]
    assert [each["idempotency_key"] for each in events] == ["k", None]
    assert await database.outbox() == [each["id"] for each in events]


async def test_returns_409_for_start_now_while_another_session_is_in_progress(
    app: App, database: TestDatabase
) -> None:
    active = await database.a_session()

    response = await plan(app, active.user_id, startNow=True)

    error = error_of(response)
    assert (response.status_code, error["code"]) == (409, "ACTIVE_SESSION_EXISTS")
    assert error["details"] == {"activeSessionId": str(active.id)}
    assert await database.value("SELECT count(*) FROM sessions") == 1
    assert await database.events() == []


@pytest.mark.parametrize("body", [{"sessionDate": NINE, "notes": "legs"}, {}, {"startNow": True}])
async def test_a_retry_with_the_key_returns_the_first_session(
    app: App, database: TestDatabase, body: dict[str, Any]
) -> None:
    user_id = uuid4()

    first = await plan(app, user_id, key="tap-1", **body)
    again = await plan(app, user_id, key="tap-1", **body)

    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    for name in ("ETag", "Location", "Content-Location"):
        assert again.headers[name] == first.headers[name]
    assert again.headers["Idempotent-Replayed"] == "true"
    assert await database.value("SELECT count(*) FROM sessions") == 1


@pytest.mark.parametrize(
    "other",
    [{"notes": "arms"}, {"sessionDate": NINE}, {"sets": [1]}, {"startNow": True}],
    ids=["notes", "date", "sets", "start"],
)
async def test_returns_422_when_the_key_was_used_for_another_plan(
    app: App, other: dict[str, Any]
) -> None:
    user_id = uuid4()
    await plan(app, user_id, key="tap-1", notes="legs")

    response = await plan(app, user_id, key="tap-1", **{"notes": "legs"} | other)

    assert (response.status_code, error_of(response)["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")


@pytest.mark.parametrize(
    ("body", "path", "code"),
    [
        ({"sessionDate": "2026-11-22"}, ["sessionDate"], "invalid_date_time"),
        ({"sessionDate": "2026-11-22T09:00:00"}, ["sessionDate"], "invalid_date_time"),
        ({"sessionDate": "2026-02-30T09:00:00Z"}, ["sessionDate"], "invalid_date_time"),
        ({"sessionDate": "2026-11-22T09:00:60Z"}, ["sessionDate"], "invalid_date_time"),
        ({"sessionDate": "0001-01-01T00:00:00Z"}, ["sessionDate"], "invalid_date_time"),
        ({"sessionDate": "0001-01-01T00:00:00+01:00"}, ["sessionDate"], "invalid_date_time"),
        ({"sessionDate": "9999-01-01T00:00:00Z"}, ["sessionDate"], "invalid_date_time"),
        ({"sessionDate": 1763802000}, ["sessionDate"], "invalid_date_time"),
        ({"sessionDate": "2026-11-22T09:00:00+01:60"}, ["sessionDate"], "invalid_date_time"),
        ({"sessionDate": "2026-11-22T09:00:00+00:99"}, ["sessionDate"], "invalid_date_time"),
        ({"sessionDate": "2026-11-22T24:00:00Z"}, ["sessionDate"], "invalid_date_time"),
        ({"sessionDate": ["2026-11-22T09:00:00Z"]}, ["sessionDate"], "invalid_date_time"),
        ({"sets": [0]}, ["sets", 0], "too_small"),
        ({"sets": [1, 1001]}, ["sets", 1], "too_large"),
        ({"sets": [True]}, ["sets", 0], "invalid_type"),
        ({"sets": [12.5]}, ["sets", 0], "invalid_type"),
        ({"sets": ["12"]}, ["sets", 0], "invalid_type"),
        ({"sets": 12}, ["sets"], "invalid_type"),
        ({"sets": [1] * 21}, ["sets"], "too_long"),
        ({"notes": 7}, ["notes"], "invalid_type"),
        ({"notes": "a" * 2001}, ["notes"], "too_long"),
        ({"startNow": "yes"}, ["startNow"], "invalid_type"),
        ({"start_now": True}, ["start_now"], "unknown_field"),
        ({"rpe": 7}, ["rpe"], "unknown_field"),
    ],
    ids=str,
)
async def test_returns_400_for_a_body_that_does_not_match_the_schema(
    app: App, database: TestDatabase, body: dict[str, Any], path: list[Any], code: str
) -> None:
    response = await plan(app, uuid4(), **body)

    error = error_of(response)
    assert (response.status_code, error["code"]) == (400, "VALIDATION_ERROR")
    [issue] = error["details"]["issues"]
    assert (issue["path"], issue["code"]) == (path, code)
    assert "{" not in issue["message"]
    assert await database.events() == []


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("2026-11-22T09:00:00.123456Z", "2026-11-22T09:00:00.123456Z"),
        ("2026-11-22t09:00:00.5z", "2026-11-22T09:00:00.500000Z"),
        ("0002-01-01T00:00:00Z", "0002-01-01T00:00:00Z"),
        ("9998-12-31T23:59:59.999999Z", "9998-12-31T23:59:59.999999Z"),
        ("2026-11-22T09:00:00-11:30", "2026-11-22T20:30:00Z"),
        ("2026-11-22T09:00:00-00:00", "2026-11-22T09:00:00Z"),
        ("2026-11-22T09:00:00.123456789Z", "2026-11-22T09:00:00.123456Z"),
        ("2026-11-22T09:00:00.9999999Z", "2026-11-22T09:00:00.999999Z"),
    ],
)
async def test_accepts_a_date_in_any_zone_and_returns_it_in_utc(
    app: App, given: str, kept: str
) -> None:
    response = await plan(app, uuid4(), sessionDate=given)

    assert response.json()["data"]["session"]["sessionDate"] == kept


async def test_names_the_fraction_if_it_has_more_than_nine_digits(app: App) -> None:
    response = await plan(app, uuid4(), sessionDate="2026-11-22T09:00:00.1234567890Z")

    [issue] = error_of(response)["details"]["issues"]
    assert (response.status_code, issue["path"]) == (400, ["sessionDate"])
    assert "fraction" in issue["message"]


async def test_returns_422_for_notes_with_forbidden_characters(app: App) -> None:
    content = json.dumps({"notes": "legs\x00"})

    response = await app.call(uuid4(), "POST", "/sessions", content=content, headers=JSON)

    error = error_of(response)
    assert (response.status_code, error["code"]) == (422, "INVALID_NOTES")
    assert error["details"] == {"codePoint": "U+0000", "index": 4}


@pytest.mark.parametrize(
    "notes", ["\u200b", "\ufeff \u2060", "\u3164" * 2001, "\u2800"], ids=code_points
)
async def test_notes_without_a_visible_character_are_absent(app: App, notes: str) -> None:
    response = await plan(app, uuid4(), notes=notes)

    assert response.status_code == 201
    assert response.json()["data"]["session"]["notes"] is None


async def test_notes_may_have_2000_code_points(app: App) -> None:
    assert (await plan(app, uuid4(), notes="x" * 2001)).status_code == 400
    assert (await plan(app, uuid4(), notes=" " + "x" * 2000)).status_code == 201


async def test_returns_401_without_a_token(app: App) -> None:
    assert (await app.client.post("/sessions")).status_code == 401


async def test_returns_401_for_a_user_whose_account_was_deleted(
    app: App, database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On Supabase a token stays valid after its account was deleted."""
    logger = CapturingLogger()
    monkeypatch.setattr(token_refusals, "log", logger)
    there, gone = uuid4(), uuid4()
    await database.execute("CREATE TABLE accounts (id uuid PRIMARY KEY)")
    await database.execute("INSERT INTO accounts VALUES ($1)", there)
    await database.execute(
        "ALTER TABLE sessions ADD FOREIGN KEY (user_id) REFERENCES accounts (id)"
    )

    answers = await asyncio.gather(*(plan(app, each) for each in [there, gone, there]))

    assert [answer.status_code for answer in answers] == [201, 401, 201]
    assert 'error="invalid_token"' in answers[1].headers["WWW-Authenticate"]
    [line] = logger.calls
    assert (line.method_name, line.kwargs["reason"]) == ("info", "unknown_user")
    assert len(await database.events()) == 2

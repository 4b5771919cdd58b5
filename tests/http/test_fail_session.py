# SPDX-License-Identifier: MIT
"""POST /sessions/{sessionId}/fail: every answer that the contract promises."""

import json
import unicodedata
from typing import Any
from uuid import UUID, uuid4

import pytest

from service.domain.session import SessionStatus
from tests.builders import a_session, a_token, bearer, code_points
from tests.http.responses import JSON, error_of
from tests.running import App, TestDatabase


async def test_returns_200_with_the_session_failed(app: App, database: TestDatabase) -> None:
    session = await database.a_session(version=3)

    response = await app.fail(session, reason="shoulder pain")

    row = await database.row(session)
    assert response.status_code == 200
    assert response.json() == {
        "data": {
            "session": {
                "id": str(session.id),
                "status": "failed",
                "sessionDate": "2026-11-22T09:00:00Z",
                "startedAt": "2026-11-22T09:00:00Z",
                "endedAt": row["updated_at"].isoformat().replace("+00:00", "Z"),
                "sets": [12, 10, None],
                "totalReps": 22,
                "rpe": 7,
                "notes": "knee felt fine",
                "createdAt": "2026-11-22T09:00:00Z",
                "updatedAt": row["updated_at"].isoformat().replace("+00:00", "Z"),
            }
        },
        "meta": {},
    }
    assert response.headers["ETag"] == '"4"'
    assert response.headers["Content-Location"] == f"/sessions/{session.id}"
    assert response.headers["Content-Type"] == "application/json"
    assert "Idempotent-Replayed" not in response.headers


async def test_records_the_event_and_changes_no_other_field_of_the_session(
    app: App, database: TestDatabase
) -> None:
    session = await database.a_session()
    before = await database.row(session)

    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    headers = {"X-Request-Id": "phone-7", "traceparent": trace}
    await app.fail(session, reason="shoulder pain", headers=headers)

    after = await database.row(session)
    [event] = await database.events(session)
    assert after == before | {
        "status": "failed",
        "ended_at": event["occurred_at"],
        "version": 2,
        "updated_at": event["occurred_at"],
    }
    assert event["event_type"] == "session_failed"
    assert event["event_data"] == {"reason": "shoulder pain"}
    assert (event["user_id"], event["session_version"]) == (session.user_id, 2)
    assert (event["request_id"], event["traceparent"]) == ("phone-7", trace)
    assert event["idempotency_key"] is None
    assert await database.outbox() == [event["id"]]


async def test_get_returns_the_same_body_and_etag_afterwards(
    app: App, database: TestDatabase
) -> None:
    session = await database.a_session()

    failed = await app.fail(session)
    read = await app.get(session)

    assert (read.content, read.headers["ETag"]) == (failed.content, failed.headers["ETag"])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", None),
        (b"{}", None),
        (b'{"reason": null}', None),
        (b'{"reason": " \\n "}', None),
        (b'{"reason": "\\u200b"}', None),
        ('{"reason": " \ufeff\u2060"}'.encode(), None),
        (json.dumps({"reason": "\u200b" * 501}).encode(), None),
        ('{"reason": "👩\u200d🚒"}'.encode(), "👩\u200d🚒"),
        (b'{"reason": "  cramp  "}', "cramp"),
        (b'{"reason": "one\\n\\ttwo"}', "one\n\ttwo"),
        ('{"reason": "ból barku 💪"}'.encode(), "ból barku 💪"),
        (b'{"reason": "\\ud83d\\udcaa"}', "💪"),
        (json.dumps({"reason": "e\u0301" * 500}).encode(), "\u00e9" * 500),
    ],
    ids=[
        "no body",
        "empty object",
        "null",
        "blank",
        "zero width",
        "mark and joiner",
        "501 zero width",
        "joined emoji",
        "trimmed",
        "lines",
        "utf-8",
        "pair",
        "500",
    ],
)
async def test_accepts_a_reason_null_or_nothing(
    app: App, database: TestDatabase, content: bytes, reason: str | None
) -> None:
    session = await database.a_session()

    response = await app.fail(session, content=content, headers=JSON)

    assert response.status_code == 200
    [event] = await database.events(session)
    assert event["event_data"] == {"reason": reason}


@pytest.mark.parametrize(
    "media_type",
    ["application/json", "application/json; charset=utf-8", "Application/JSON ;charset=UTF-8"],
)
async def test_accepts_every_spelling_of_the_json_media_type(
    app: App, database: TestDatabase, media_type: str
) -> None:
    session = await database.a_session()

    response = await app.fail(session, content=b"{}", headers={"Content-Type": media_type})

    assert response.status_code == 200


async def test_accepts_an_empty_body_without_content_type(app: App, database: TestDatabase) -> None:
    session = await database.a_session()

    response = await app.fail(session, headers={"Content-Type": "text/plain"})

    assert response.status_code == 200


async def test_accepts_the_session_id_in_upper_case(app: App, database: TestDatabase) -> None:
    session = await database.a_session()

    response = await app.client.post(
        f"/sessions/{str(session.id).upper()}/fail", headers=bearer(a_token(session.user_id))
    )

    assert response.status_code == 200
    assert response.headers["Content-Location"] == f"/sessions/{session.id}"


@pytest.mark.parametrize(
    ("form", "code"),
    [
        ("urn:uuid:{}", "invalid_uuid"),
        ("{{{}}}", "invalid_uuid"),
        ("{}0", "invalid_uuid"),
        ("knee", "invalid_uuid"),
        ("%00", "invalid_uuid"),
        ("{}%0A", "invalid_uuid"),
        ("%EF%BC%90{}", "invalid_uuid"),
    ],
)
async def test_returns_400_for_a_session_id_that_is_not_a_canonical_uuid(
    app: App, database: TestDatabase, form: str, code: str
) -> None:
    session = await database.a_session()

    response = await app.client.post(
        f"/sessions/{form.format(session.id)}/fail", headers=bearer(a_token(session.user_id))
    )

    error = error_of(response)
    assert (response.status_code, error["code"]) == (400, "VALIDATION_ERROR")
    [issue] = error["details"]["issues"]
    assert (issue["path"], issue["code"]) == (["sessionId"], code)


async def test_returns_400_for_a_session_id_without_hyphens(
    app: App, database: TestDatabase
) -> None:
    session = await database.a_session()

    response = await app.client.post(
        f"/sessions/{session.id.hex}/fail", headers=bearer(a_token(session.user_id))
    )

    assert response.status_code == 400


@pytest.mark.parametrize(
    ("content", "path", "code"),
    [
        (b"{", [], "invalid_json"),
        (b" ", [], "invalid_json"),
        (b'{"reason": "knee"', [], "invalid_json"),
        (b'{"reason": NaN}', [], "invalid_json"),
        (b'{"reason": "\xff"}', [], "invalid_json"),
        (b'\xef\xbb\xbf{"reason": "knee"}', [], "invalid_json"),
        ('{"reason": "knee"}'.encode("utf-16"), [], "invalid_json"),
        (b'{"reason": "knee", "reason": "hip"}', [], "invalid_json"),
        (b"[" * 16_000, [], "invalid_json"),
        (b'{"reason": ' + b"9" * 10_000 + b"}", [], "invalid_json"),
        (b"null", [], "invalid_type"),
        (b"[]", [], "invalid_type"),
        (b'"knee"', [], "invalid_type"),
        (b'{"reasn": "knee"}', ["reasn"], "unknown_field"),
        (b'{"reason": 7}', ["reason"], "invalid_type"),
        (b'{"reason": ["knee"]}', ["reason"], "invalid_type"),
        (json.dumps({"reason": "a" * 501}).encode(), ["reason"], "too_long"),
        (json.dumps({"reason": "\x00" * 501}).encode(), ["reason"], "too_long"),
    ],
    ids=[
        "half",
        "blank",
        "unclosed",
        "NaN",
        "no utf-8",
        "BOM",
        "utf-16",
        "reason twice",
        "deep",
        "long number",
        "null",
        "list",
        "string",
        "typo",
        "number",
        "list of reasons",
        "long reason",
        "long reason of NUL",
    ],
)
async def test_returns_400_for_a_body_that_does_not_match_the_schema(
    app: App, database: TestDatabase, content: bytes, path: list[str], code: str
) -> None:
    session = await database.a_session()

    response = await app.fail(session, content=content, headers=JSON)

    error = error_of(response)
    assert (response.status_code, error["code"]) == (400, "VALIDATION_ERROR")
    [issue] = error["details"]["issues"]
    assert (issue["path"], issue["code"]) == (path, code)
    assert issue["message"]
    assert await database.events() == []


async def test_names_every_issue_of_a_body(app: App) -> None:
    response = await app.fail(a_session(), json={"reason": 7, "mood": "bad", "place": "gym"})

    issues = error_of(response)["details"]["issues"]
    assert {issue["path"][0] for issue in issues} == {"reason", "mood", "place"}


async def test_returns_413_for_a_body_over_16_kib(app: App) -> None:
    at_the_limit = b"{}" + b" " * (16 * 1024 - 2)

    assert (await app.fail(a_session(), content=at_the_limit, headers=JSON)).status_code == 404
    response = await app.fail(a_session(), content=at_the_limit + b" ", headers=JSON)

    error = error_of(response)
    assert (response.status_code, error["code"]) == (413, "PAYLOAD_TOO_LARGE")
    assert error["details"] == {"maxBytes": 16 * 1024}


async def test_returns_413_for_a_chunked_body_without_length(app: App) -> None:
    async def chunks() -> Any:
        for _ in range(5):
            yield b" " * 4096

    response = await app.fail(a_session(), content=chunks(), headers=JSON)

    assert response.status_code == 413


@pytest.mark.parametrize(
    "media_type",
    ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", "", "json"],
)
async def test_returns_415_for_a_body_of_another_type(app: App, media_type: str) -> None:
    headers = {"Content-Type": media_type}

    response = await app.fail(a_session(), content=b"reason=knee", headers=headers)

    error = error_of(response)
    assert (response.status_code, error["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")
    assert error["details"] == {"header": "Content-Type"}
    assert "Accept-Encoding" not in response.headers


@pytest.mark.parametrize(
    "reason", ["knee\x00", "knee\x1b[2J", "a\rb", "\ud800", "\x7f"], ids=code_points
)
async def test_returns_422_for_a_reason_with_forbidden_characters(
    app: App, database: TestDatabase, reason: str
) -> None:
    session = await database.a_session()

    response = await app.fail(session, content=json.dumps({"reason": reason}), headers=JSON)

    error = error_of(response)
    assert (response.status_code, error["code"]) == (422, "INVALID_REASON")
    assert error["details"]["codePoint"] in error["message"]
    assert (await database.row(session))["status"] == "in_progress"


async def test_returns_404_when_the_session_does_not_exist(app: App) -> None:
    response = await app.fail(a_session())

    error = error_of(response)
    assert (response.status_code, error["code"]) == (404, "SESSION_NOT_FOUND")


async def test_returns_the_same_404_for_a_session_of_another_user(
    app: App, database: TestDatabase
) -> None:
    theirs = await database.a_session()
    caller = uuid4()

    async def fail(session_id: UUID, method: str, path: str) -> tuple[int, bytes, Any]:
        response = await app.client.request(
            method,
            f"/sessions/{session_id}{path}",
            headers=bearer(a_token(caller)) | {"X-Request-Id": "same", "Idempotency-Key": "same"},
        )
        headers = {name: value for name, value in response.headers.items() if name != "date"}
        return response.status_code, response.content, headers

    for method, path in [("POST", "/fail"), ("GET", "")]:
        missing = await fail(uuid4(), method, path)
        assert missing[0] == 404
        assert await fail(theirs.id, method, path) == missing
    assert (await database.row(theirs))["status"] == "in_progress"


async def test_returns_422_when_planned(app: App, database: TestDatabase) -> None:
    session = await database.a_session(status=SessionStatus.PLANNED)
    before = await database.row(session)

    response = await app.fail(session, reason="overslept")

    error = error_of(response)
    assert (response.status_code, error["code"]) == (422, "INVALID_STATUS")
    assert error["details"] == {
        "sessionId": str(session.id),
        "currentStatus": "planned",
        "requiredStatus": "in_progress",
    }
    assert await database.row(session) == before
    assert await database.events() == await database.outbox() == []


@pytest.mark.parametrize("status", [SessionStatus.COMPLETED, SessionStatus.FAILED])
async def test_returns_409_when_already_ended(
    app: App, database: TestDatabase, status: SessionStatus
) -> None:
    session = await database.a_session(status=status)
    before = await database.row(session)

    response = await app.fail(session)

    error = error_of(response)
    assert (response.status_code, error["code"]) == (409, "INVALID_STATUS")
    assert error["details"]["currentStatus"] == status
    assert await database.row(session) == before
    assert await database.events() == []


async def test_returns_409_when_repeated_without_an_idempotency_key(
    app: App, database: TestDatabase
) -> None:
    session = await database.a_session()

    first, second = await app.fail(session), await app.fail(session)

    assert (first.status_code, second.status_code) == (200, 409)
    assert error_of(second)["details"]["currentStatus"] == "failed"
    assert len(await database.events()) == 1


@pytest.mark.parametrize("if_match", ["*", '"1"', '"7", "1"'])
async def test_returns_200_when_if_match_names_the_version(
    app: App, database: TestDatabase, if_match: str
) -> None:
    session = await database.a_session()

    assert (await app.fail(session, headers={"If-Match": if_match})).status_code == 200


@pytest.mark.parametrize("if_match", ['"2"', 'W/"1"', "1", '"one"', ""])
async def test_returns_412_when_if_match_names_another_version(
    app: App, database: TestDatabase, if_match: str
) -> None:
    session = await database.a_session()

    response = await app.fail(session, headers={"If-Match": if_match})

    error = error_of(response)
    assert (response.status_code, error["code"]) == (412, "PRECONDITION_FAILED")
    assert (error["details"]["sessionId"], error["details"]["currentVersion"]) == (
        str(session.id),
        1,
    )
    assert "version 1" in error["message"]
    assert (await database.row(session))["status"] == "in_progress"
    assert await database.events() == []


@pytest.mark.parametrize("retry", ["retry-1", '"retry-1"'], ids=["bare", "quoted"])
async def test_replays_the_response_when_the_key_and_the_command_are_the_same(
    app: App, database: TestDatabase, retry: str
) -> None:
    session = await database.a_session()

    first = await app.fail(session, reason="knee", headers={"Idempotency-Key": "retry-1"})
    again = await app.fail(session, reason=" knee ", headers={"Idempotency-Key": retry})

    assert (first.status_code, again.status_code) == (200, 200)
    assert again.content == first.content
    for name in ("ETag", "Content-Location"):
        assert again.headers[name] == first.headers[name]
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    [event] = await database.events()
    assert event["idempotency_key"] == "retry-1"


async def test_replays_the_first_response_although_the_session_has_changed(
    app: App, database: TestDatabase
) -> None:
    session = await database.a_session()
    key = {"Idempotency-Key": "retry-1"}

    first = await app.fail(session, headers=key)
    await database.execute("UPDATE sessions SET notes = 'edited by support', version = 9")
    again = await app.fail(session, headers=key)

    assert (again.content, again.headers["ETag"]) == (first.content, first.headers["ETag"])


async def test_replays_the_response_although_if_match_names_the_old_version(
    app: App, database: TestDatabase
) -> None:
    session = await database.a_session()
    headers = {"Idempotency-Key": "retry-1", "If-Match": '"1"'}

    responses = [await app.fail(session, headers=headers) for _ in range(2)]

    assert [response.status_code for response in responses] == [200, 200]


async def test_returns_422_when_the_key_was_used_for_another_reason(
    app: App, database: TestDatabase
) -> None:
    session = await database.a_session()
    key = {"Idempotency-Key": "retry-1"}

    await app.fail(session, reason="knee", headers=key)
    response = await app.fail(session, reason="hip", headers=key)

    error = error_of(response)
    assert (response.status_code, error["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")


async def test_returns_422_when_the_key_was_used_for_another_session_even_if_this_one_is_missing(
    app: App, database: TestDatabase
) -> None:
    session = await database.a_session()
    key = {"Idempotency-Key": "retry-1"}
    await app.fail(session, headers=key)

    response = await app.fail(a_session(user_id=session.user_id), headers=key)

    assert error_of(response)["code"] == "IDEMPOTENCY_KEY_REUSED"


async def test_two_users_may_use_the_same_key(app: App, database: TestDatabase) -> None:
    sessions = [await database.a_session() for _ in range(2)]

    responses = [await app.fail(each, headers={"Idempotency-Key": "1"}) for each in sessions]

    assert [response.status_code for response in responses] == [200, 200]
    assert all("Idempotent-Replayed" not in response.headers for response in responses)


async def test_a_refusal_is_not_replayed(app: App, database: TestDatabase) -> None:
    session = await database.a_session(status=SessionStatus.PLANNED)
    key = {"Idempotency-Key": "retry-1"}

    refused = await app.fail(session, headers=key)
    await database.execute("UPDATE sessions SET status = 'in_progress', started_at = now()")
    done = await app.fail(session, headers=key)

    assert (refused.status_code, done.status_code) == (422, 200)


@pytest.mark.parametrize("key", ["k" * 256, "two words", '""'])
async def test_returns_400_for_a_malformed_key(app: App, key: str) -> None:
    response = await app.fail(a_session(), headers={"Idempotency-Key": key})

    error = error_of(response)
    assert (response.status_code, error["code"]) == (400, "VALIDATION_ERROR")
    assert error["details"]["issues"][0]["path"] == ["Idempotency-Key"]


async def test_reports_the_first_refusal_in_the_order_of_the_contract(
    app: App, database: TestDatabase
) -> None:
    """Each request also breaks every later rule."""
    planned = await database.a_session(status=SessionStatus.PLANNED)
    running = await database.a_session()
    used = {"Idempotency-Key": "used"}
    await app.fail(running, headers=used)
    token = bearer(a_token(planned.user_id))
    too_large, plain = b"\x00" * 20_000, {"Content-Type": "text/plain"}
    wrong_version = {"If-Match": '"9"'}
    strange = json.dumps({"reason": "\x00"})

    async def code(path: str, headers: dict[str, str], content: bytes | str = b"") -> str:
        response = await app.client.post(path, headers=headers, content=content)
        return str(response.json()["error"]["code"])

    here, nowhere = f"/sessions/{planned.id}/fail", f"/sessions/{uuid4()}/fail"
    owner = bearer(a_token(running.user_id))
    assert await code("/sessions/knee/fail", plain, too_large) == "UNAUTHENTICATED"
    assert await code("/sessions/knee/fail", token | plain, too_large) == "VALIDATION_ERROR"
    assert await code(nowhere, token | plain, too_large) == "PAYLOAD_TOO_LARGE"
    assert await code(nowhere, token | plain, b"{") == "UNSUPPORTED_MEDIA_TYPE"
    assert await code(nowhere, token | JSON, b'{"reason": 7}') == "VALIDATION_ERROR"
    assert await code(nowhere, owner | JSON | used, strange) == "INVALID_REASON"
    assert await code(nowhere, owner | used | wrong_version) == "IDEMPOTENCY_KEY_REUSED"
    assert await code(nowhere, token | wrong_version) == "SESSION_NOT_FOUND"
    assert await code(here, token | wrong_version) == "INVALID_STATUS"


async def test_a_reason_may_have_500_code_points_in_normal_form(
    app: App, database: TestDatabase
) -> None:
    session = await database.a_session()
    longest = unicodedata.normalize("NFD", "ó" * 500)

    assert (await app.fail(session, reason=longest + "x")).status_code == 400
    assert (await app.fail(session, reason=longest)).status_code == 200

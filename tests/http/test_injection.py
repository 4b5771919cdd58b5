# SPDX-License-Identifier: MIT
"""SQL in whatever a client sends is text, and stays text."""

from urllib.parse import quote

import pytest

from tests.builders import a_token, bearer
from tests.running import App, TestDatabase

SQL = [
    "'; DROP TABLE sessions; --",
    "' OR '1'='1",
    "knee'); DELETE FROM events; --",
    "$1 $2 {} %s %(user)s :user_id",
    "\\'; SELECT pg_sleep(60); --",
    '{"reason": "x"}\'::jsonb',
]


@pytest.mark.parametrize("text", SQL)
async def test_sql_in_a_reason_and_in_notes_is_stored_as_it_is(
    app: App, database: TestDatabase, text: str
) -> None:
    session, bystander = await database.a_session(), await database.a_session()
    headers = bearer(a_token(session.user_id))

    noted = await app.client.patch(f"/sessions/{session.id}", headers=headers, json={"notes": text})
    failed = await app.client.post(
        f"/sessions/{session.id}/fail", headers=headers, json={"reason": text}
    )

    assert (noted.status_code, failed.status_code) == (200, 200)
    assert failed.json()["data"]["session"]["notes"] == text
    assert (await database.events(session))[-1]["event_data"] == {"reason": text}
    assert (await database.row(bystander))["version"] == bystander.version


@pytest.mark.parametrize("text", SQL)
async def test_sql_in_a_query_is_refused_and_shows_no_session(
    app: App, database: TestDatabase, text: str
) -> None:
    await database.a_session()
    session = await database.a_session()
    headers = bearer(a_token(session.user_id))

    answers = [
        await app.client.get("/sessions", headers=headers, params={name: text})
        for name in ("status", "since", "until", "limit", "cursor")
    ]
    after = await app.client.get("/sessions", headers=headers)

    assert {answer.status_code for answer in answers} == {400}
    assert [each["id"] for each in after.json()["data"]["sessions"]] == [str(session.id)]


@pytest.mark.parametrize("text", SQL)
async def test_sql_in_an_id_or_an_idempotency_key_changes_nothing(
    app: App, database: TestDatabase, text: str
) -> None:
    session = await database.a_session()
    headers = bearer(a_token(session.user_id))

    by_id = await app.client.post(f"/sessions/{quote(text, safe='')}/fail", headers=headers)
    by_key = await app.client.post(
        f"/sessions/{session.id}/fail", headers=headers | {"Idempotency-Key": text}
    )

    assert by_id.status_code in {400, 404}
    assert by_key.status_code in {200, 400}
    assert len(await database.events()) == (by_key.status_code == 200)


@pytest.mark.parametrize("text", SQL)
async def test_sql_in_the_subject_of_a_signed_token_is_refused(
    app: App, database: TestDatabase, text: str
) -> None:
    session = await database.a_session()
    token = a_token(session.user_id, sub=f"{session.user_id}{text}")

    answer = await app.client.get(f"/sessions/{session.id}", headers=bearer(token))

    assert answer.status_code == 401

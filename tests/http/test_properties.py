# SPDX-License-Identifier: MIT
"""Any request gets an answer from the contract's table, and never a 500."""

import json
import unicodedata
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.builders import a_token, bearer
from tests.running import App, TestDatabase
from tests.visible import expected_form

# One app and one database serve all examples; each example has a session of its own.
shared_app = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)

PROMISED = {200, 400, 413, 415, 422}

any_text = st.text(st.characters(codec=None), max_size=520)
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text,
    lambda children: (
        st.lists(children, max_size=4) | st.dictionaries(any_text, children, max_size=4)
    ),
    max_leaves=20,
)
reason_bodies = st.fixed_dictionaries(
    {}, optional={"reason": any_json | any_text, "reasn": any_text}
)


async def send(app: App, database: TestDatabase, content: bytes, media_type: str) -> Any:
    """The status of the answer, and the stored reason if the status is 200."""
    session = await database.a_session()
    response = await app.fail(session, content=content, headers={"Content-Type": media_type})
    events = await database.events(session)
    row = await database.row(session)
    assert response.status_code in PROMISED
    assert response.headers["Content-Type"] == "application/json"
    assert (len(events), row["status"]) == (
        (1, "failed") if response.status_code == 200 else (0, "in_progress")
    )
    return response.status_code, events[0]["event_data"]["reason"] if events else None


@shared_app
@given(reason=any_text)
async def test_any_reason_is_stored_in_normal_form_or_refused(
    app: App, database: TestDatabase, reason: str
) -> None:
    content = json.dumps({"reason": reason}).encode()

    status, kept = await send(app, database, content, "application/json")

    normal = expected_form(reason)
    storable = not any(
        unicodedata.category(each) in {"Cc", "Cs"} for each in normal if each not in "\n\t"
    )
    if len(normal) > 500:
        assert status == 400
    elif storable:
        assert (status, kept) == (200, normal or None)
    else:
        assert status == 422


@shared_app
@given(body=any_json | reason_bodies)
async def test_any_json_body_gets_an_answer_of_the_contract(
    app: App, database: TestDatabase, body: Any
) -> None:
    await send(app, database, json.dumps(body).encode(), "application/json")


@shared_app
@given(
    content=st.binary(max_size=600), media_type=st.sampled_from(["application/json", "text/css"])
)
async def test_any_body_gets_an_answer_of_the_contract(
    app: App, database: TestDatabase, content: bytes, media_type: str
) -> None:
    await send(app, database, content, media_type)


@pytest.mark.parametrize("header", ["Idempotency-Key", "If-Match", "X-Request-Id", "Authorization"])
async def test_any_header_gets_an_answer_of_the_contract(
    app: App, database: TestDatabase, header: str
) -> None:
    session = await database.a_session()
    for strange in b'\t "\\,;=/\x80\xc3\xff':
        headers = bearer(a_token(session.user_id)) | {header: f'"a{chr(strange)}b"'}
        response = await app.client.post(
            f"/sessions/{session.id}/fail", headers=httpx2.Headers(headers, encoding="latin-1")
        )
        assert response.status_code in {200, 400, 401, 409, 412}

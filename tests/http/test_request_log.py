# SPDX-License-Identifier: MIT
"""The line of a request in the log: what it says of an error, a user and a trace."""

from typing import Any

import pytest
import structlog.testing

from service.bootstrap.pseudonyms import Pseudonyms
from tests.conftest import StartApp
from tests.running import App, TestDatabase

KEY = "a key for the log that is long enough"
TRACE = "0af7651916cd43dd8448eb211c80319c"


async def logged(app: App, database: TestDatabase) -> tuple[list[Any], Any]:
    """The lines of a command and of its repetition, and their user."""
    session = await database.a_session()
    headers = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
    with structlog.testing.capture_logs() as lines:
        for _ in range(2):
            await app.fail(session, reason="shoulder pain", headers=headers)
    return [line for line in lines if line["event"] == "request"], session.user_id


async def test_names_the_code_of_an_error_and_the_trace(app: App, database: TestDatabase) -> None:
    lines, _ = await logged(app, database)

    assert [(line["status"], line["code"]) for line in lines] == [
        (200, None),
        (409, "INVALID_STATUS"),
    ]
    assert [line["trace_id"] for line in lines] == [TRACE, TRACE]


async def test_has_no_user_by_default(app: App, database: TestDatabase) -> None:
    lines, user_id = await logged(app, database)

    assert len(lines) == 2
    assert all("user" not in line and str(user_id) not in str(line) for line in lines)


async def test_has_a_name_for_the_user_with_a_key(
    start_app: StartApp, database: TestDatabase
) -> None:
    lines, user_id = await logged(await start_app(log_user_key=KEY), database)

    assert [line["user"] for line in lines] == [Pseudonyms(KEY)(user_id)] * 2
    assert str(user_id) not in str(lines)


@pytest.mark.parametrize("authorization", ["Bearer knee", None])
async def test_has_no_user_without_an_accepted_token(
    start_app: StartApp, authorization: str | None
) -> None:
    app = await start_app(log_user_key=KEY)
    headers = {"Authorization": authorization} if authorization else {}
    with structlog.testing.capture_logs() as lines:
        await app.client.get("/sessions", headers=headers)

    [line] = [line for line in lines if line["event"] == "request"]
    assert (line["status"], line["code"]) == (401, "UNAUTHENTICATED")
    assert "user" not in line

# SPDX-License-Identifier: MIT
"""Server-Timing: the times of a request, if the service is set up to say them."""

import re
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from tests.conftest import StartApp
from tests.running import App, TestDatabase

LISTED = "https://gym.example"


def times_of(response: httpx2.Response) -> dict[str, float]:
    value = response.headers["Server-Timing"]
    assert re.fullmatch(r"(\w+;dur=\d+\.\d\d)(, \w+;dur=\d+\.\d\d)*", value)
    named = (each.split(";dur=") for each in value.split(", "))
    return {name: float(duration) for name, duration in named}


@pytest.fixture
async def timed(start_app: StartApp) -> App:
    app: App = await start_app(server_timing=True, cors_allowed_origins=LISTED)
    return app


async def test_a_command_says_its_wait_its_group_and_the_whole(
    timed: App, database: TestDatabase
) -> None:
    session = await database.a_session()

    done, refused = await timed.fail(session), await timed.fail(session)

    assert (done.status_code, refused.status_code) == (200, 409)
    for times in map(times_of, (done, refused)):
        assert list(times) == ["queue", "group", "total"]
        assert times["group"] > 0
        assert times["queue"] + times["group"] <= times["total"] + 0.02  # each is rounded


@pytest.mark.parametrize("below", ["", "/events"], ids=["session", "history"])
async def test_a_read_says_the_same(timed: App, database: TestDatabase, below: str) -> None:
    session = await database.a_session()
    found = await timed.call(session.user_id, "GET", f"/sessions/{session.id}{below}")
    missing = await timed.call(uuid4(), "GET", f"/sessions/{uuid4()}{below}")

    assert (found.status_code, missing.status_code) == (200, 404)
    assert list(times_of(found)) == list(times_of(missing)) == ["queue", "group", "total"]


async def test_a_list_says_the_same(timed: App) -> None:
    response = await timed.call(uuid4(), "GET", "/sessions")

    assert list(times_of(response)) == ["queue", "group", "total"]


@pytest.mark.parametrize(
    ("method", "path", "options"),
    [
        ("GET", "/livez", {}),
        ("GET", "/nowhere", {}),
        ("POST", "/sessions", {"content": b"{"}),
    ],
)
async def test_an_answer_without_a_group_says_the_whole_alone(
    timed: App, method: str, path: str, options: dict[str, Any]
) -> None:
    response = await timed.call(uuid4(), method, path, **options)

    assert list(times_of(response)) == ["total"]


async def test_a_command_that_expires_in_the_queue_says_its_wait(
    start_app: StartApp, database: TestDatabase
) -> None:
    app = await start_app(server_timing=True, command_timeout_seconds=0.05)
    session = await database.a_session()
    holder = await database.connect()
    transaction = holder.transaction()
    await transaction.start()
    await holder.execute("SELECT FROM sessions WHERE id = $1 FOR UPDATE", session.id)

    response = await app.fail(session)

    await transaction.rollback()
    await holder.close()
    assert response.status_code == 503
    assert times_of(response)["queue"] > 0


async def test_a_page_of_a_listed_origin_may_read_the_times(timed: App) -> None:
    response = await timed.client.get("/livez", headers={"Origin": LISTED})

    assert "Server-Timing" in response.headers["Access-Control-Expose-Headers"].split(", ")
    assert response.headers["Timing-Allow-Origin"] == LISTED


async def test_a_page_of_another_origin_may_not(timed: App) -> None:
    response = await timed.client.get("/livez", headers={"Origin": "https://evil.example"})

    assert "Timing-Allow-Origin" not in response.headers
    assert "Access-Control-Allow-Origin" not in response.headers


async def test_says_nothing_by_default(app: App, database: TestDatabase) -> None:
    response = await app.fail(await database.a_session())

    assert not {"server-timing", "timing-allow-origin"} & set(response.headers)

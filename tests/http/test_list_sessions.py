# SPDX-License-Identifier: MIT
"""GET /sessions: order, filters, pages, and what is refused."""

import asyncio
import base64
from datetime import timedelta
from itertools import chain
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

from service.domain.session import Session, SessionStatus
from service.http.cursors import encode_position
from tests.builders import MORNING, a_session, a_token, bearer
from tests.http.responses import error_of
from tests.running import App, TestDatabase

HOUR = timedelta(hours=1)


async def listed(app: App, user_id: UUID, **parameters: Any) -> httpx2.Response:
    return await app.call(user_id, "GET", "/sessions", params=parameters)


def ids_of(response: httpx2.Response) -> list[UUID]:
    return [UUID(each["id"]) for each in response.json()["data"]["sessions"]]


async def pages(app: App, user_id: UUID, **parameters: Any) -> list[list[UUID]]:
    found = []
    cursor: dict[str, str] = {}
    while True:
        response = await listed(app, user_id, **parameters, **cursor)
        assert response.status_code == 200
        found.append(ids_of(response))
        meta = response.json()["meta"]
        if not meta:
            return found
        cursor = {"cursor": meta["nextCursor"]}


async def sessions_of(
    database: TestDatabase, user_id: UUID, number: int, **overrides: Any
) -> list[Session]:
    """Creates this number of sessions; returns them newest first."""
    facts: dict[str, Any] = {"user_id": user_id, "status": SessionStatus.PLANNED} | overrides
    sessions = [a_session(session_date=MORNING - hours * HOUR, **facts) for hours in range(number)]
    await database.insert(*sessions)
    return sessions


async def test_returns_200_with_the_callers_sessions_newest_first(
    app: App, database: TestDatabase
) -> None:
    user_id = uuid4()
    newer, older = await sessions_of(database, user_id, 2)
    await database.a_session()

    response = await listed(app, user_id)

    assert response.status_code == 200
    assert ids_of(response) == [newer.id, older.id]
    assert response.json()["meta"] == {}
    assert response.headers["Cache-Control"] == "no-store"
    read = await app.get(newer)
    assert response.json()["data"]["sessions"][0] == read.json()["data"]["session"]


async def test_returns_an_empty_list_to_a_user_without_sessions(app: App) -> None:
    response = await listed(app, uuid4())

    assert response.json() == {"data": {"sessions": []}, "meta": {}}


async def test_the_greater_id_comes_first_among_sessions_of_one_date(
    app: App, database: TestDatabase
) -> None:
    user_id = uuid4()
    sessions = [a_session(user_id=user_id, id=uuid7(), status="planned") for _ in range(5)]
    await database.insert(*sessions)

    found = await pages(app, user_id, limit=2)

    assert [*chain(*found)] == sorted((each.id for each in sessions), reverse=True)
    assert [len(page) for page in found] == [2, 2, 1]


@pytest.mark.parametrize(("number", "sizes"), [(20, [20]), (21, [20, 1])])
async def test_a_page_has_20_sessions_by_default(
    app: App, database: TestDatabase, number: int, sizes: list[int]
) -> None:
    user_id = uuid4()
    await sessions_of(database, user_id, number)

    assert [len(page) for page in await pages(app, user_id)] == sizes


@pytest.mark.parametrize("limit", [1, 3, 7, 100])
async def test_pages_of_any_size_together_are_the_whole_list(
    app: App, database: TestDatabase, limit: int
) -> None:
    user_id = uuid4()
    sessions = await sessions_of(database, user_id, 7)

    assert [*chain(*await pages(app, user_id, limit=limit))] == [each.id for each in sessions]


async def test_filters_combine(app: App, database: TestDatabase) -> None:
    user_id = uuid4()
    planned = await sessions_of(database, user_id, 6)
    failed = await sessions_of(database, user_id, 6, status=SessionStatus.FAILED)
    await sessions_of(database, user_id, 6, status=SessionStatus.COMPLETED)
    bounds = {"from": "2026-11-22T05:00:00Z", "to": "2026-11-22T08:00:00Z"}

    found = await pages(app, user_id, status=["planned", "failed"], limit=2, **bounds)

    wanted = planned[2:5] + failed[2:5]
    wanted.sort(key=lambda each: (each.session_date, each.id), reverse=True)
    assert [*chain(*found)] == [each.id for each in wanted]


@pytest.mark.parametrize(
    ("bounds", "wanted"),
    [
        ({"from": "2026-11-22T08:00:00Z"}, [0, 1]),
        ({"to": "2026-11-22T08:00:00Z"}, [2, 3]),
        ({"from": "2026-11-22T09:00:00+01:00", "to": "2026-11-22T09:00:00Z"}, [1]),
        ({"from": "2026-11-22T09:00:00Z", "to": "2026-11-22T08:00:00Z"}, []),
        ({"from": "2026-11-22t07:59:59.999999999z", "to": "2026-11-22T08:00:00.000001Z"}, [1]),
    ],
    ids=["from is in", "to is out", "zones", "nothing between", "nine digits"],
)
async def test_since_and_until_compare_the_session_date(
    app: App, database: TestDatabase, bounds: dict[str, str], wanted: list[int]
) -> None:
    user_id = uuid4()
    sessions = await sessions_of(database, user_id, 4)

    assert ids_of(await listed(app, user_id, **bounds)) == [sessions[each].id for each in wanted]


@pytest.mark.parametrize(
    ("query", "path", "code"),
    [
        ("status=tired", ["status", 0], "unknown_value"),
        ("status=planned&status=", ["status", 1], "unknown_value"),
        ("from=2026-11-22", ["from"], "invalid_date_time"),
        ("to=", ["to"], "invalid_date_time"),
        ("from=2026-11-22T09:00:00+01:00", ["from"], "invalid_date_time"),
        ("from=2026-11-22T09:00:00%2B01:60", ["from"], "invalid_date_time"),
        ("to=2026-11-22T09:00:00%2B24:00", ["to"], "invalid_date_time"),
        ("to=2026-11-22T24:00:00Z", ["to"], "invalid_date_time"),
        ("to=2026-11-22T09:00:00.0123456789Z", ["to"], "invalid_date_time"),
        ("to=%D9%A22026-11-22T09:00:00Z", ["to"], "invalid_date_time"),
        ("limit=0", ["limit"], "too_small"),
        ("limit=101", ["limit"], "too_large"),
        ("limit=ten", ["limit"], "invalid_type"),
        ("limit=1_0", ["limit"], "invalid_type"),
        ("limit=%D9%A3", ["limit"], "invalid_type"),
        ("limit=10&limit=20", ["limit"], "repeated"),
        ("page=2", ["page"], "unknown_field"),
        ("since=2026-11-22T09:00:00Z", ["since"], "unknown_field"),
        ("cursor=", ["cursor"], "invalid_cursor"),
        ("cursor=knee", ["cursor"], "invalid_cursor"),
        ("cursor=AAAAAQ", ["cursor"], "invalid_cursor"),
        ("cursor=%00", ["cursor"], "invalid_cursor"),
        ("cursor=" + "f" * 32 + "=", ["cursor"], "invalid_cursor"),
        ("cursor=" + "f" * 31 + "%2B", ["cursor"], "invalid_cursor"),
        ("cursor=" + "f" * 32, ["cursor"], "invalid_cursor"),
        ("cursor=" + "%C3%A9" * 32, ["cursor"], "invalid_cursor"),
    ],
)
async def test_returns_400_for_a_query_that_does_not_match_the_schema(
    app: App, query: str, path: list[Any], code: str
) -> None:
    response = await app.client.get(f"/sessions?{query}", headers=bearer(a_token()))

    error = error_of(response)
    assert (response.status_code, error["code"]) == (400, "VALIDATION_ERROR")
    [issue] = error["details"]["issues"]
    assert (issue["path"], issue["code"]) == (path, code)
    assert "{" not in issue["message"]


@pytest.mark.parametrize("year", [1, 9999])
async def test_takes_a_cursor_beyond_the_dates_of_sessions(
    app: App, database: TestDatabase, year: int
) -> None:
    user_id = uuid4()
    await sessions_of(database, user_id, 2)
    cursor = encode_position((MORNING.replace(year=year, month=1, day=1), uuid7()))

    found = ids_of(await listed(app, user_id, cursor=cursor))

    assert len(found) == (2 if year > MORNING.year else 0)


async def test_a_cursor_of_another_user_shows_only_own_sessions(
    app: App, database: TestDatabase
) -> None:
    theirs, mine = uuid4(), uuid4()
    await sessions_of(database, theirs, 3)
    [_, older] = await sessions_of(database, mine, 2)
    first = await listed(app, theirs, limit=1)

    second = await listed(app, mine, cursor=first.json()["meta"]["nextCursor"])

    assert ids_of(second)[-1] == older.id
    assert len(ids_of(second)) <= 2


async def test_returns_401_without_a_token(app: App) -> None:
    assert (await app.client.get("/sessions?page=2")).status_code == 401


shared_app = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
hours = st.integers(0, 5)


@shared_app
@given(data=st.data(), existing=st.lists(hours, min_size=1, max_size=12), limit=st.integers(1, 4))
async def test_paging_neither_skips_nor_repeats_while_sessions_are_written(
    app: App, database: TestDatabase, data: st.DataObject, existing: list[int], limit: int
) -> None:
    """Sessions are created and changed between the pages; many have equal dates."""
    user_id = uuid4()
    throughout = [
        a_session(user_id=user_id, status="planned", session_date=MORNING - each * HOUR)
        for each in existing
    ]
    await database.insert(*throughout)
    found: list[UUID] = []
    parameters: dict[str, Any] = {"limit": limit}
    while parameters:
        response = await listed(app, user_id, **parameters)
        found += ids_of(response)
        cursor = response.json()["meta"].get("nextCursor")
        parameters = {"limit": limit, "cursor": cursor} if cursor else {}
        await _write(app, user_id, data)

    old = {each.id for each in throughout}
    assert len(found) == len(set(found))
    expected = sorted(throughout, key=lambda each: (each.session_date, each.id), reverse=True)
    assert [each for each in found if each in old] == [each.id for each in expected]


async def _write(app: App, user_id: UUID, data: st.DataObject) -> None:
    dates = data.draw(st.lists(hours, max_size=2))
    made = await asyncio.gather(
        *(
            app.call(
                user_id,
                "POST",
                "/sessions",
                json={"sessionDate": (MORNING - each * HOUR).isoformat()},
            )
            for each in dates
        )
    )
    for each in made[:1]:
        await app.call(user_id, "POST", each.headers["Location"] + "/start")


@given(st.text(max_size=40) | st.binary(max_size=30).map(base64.urlsafe_b64encode))
@shared_app
async def test_any_cursor_gets_a_page_or_400(app: App, cursor: str | bytes) -> None:
    response = await app.client.get(
        "/sessions", params={"cursor": cursor}, headers=bearer(a_token())
    )

    assert response.status_code in {200, 400}

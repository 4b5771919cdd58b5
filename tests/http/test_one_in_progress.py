# SPDX-License-Identifier: MIT
"""One session in progress per user, whichever commands race to start one."""

import asyncio
from collections import Counter
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.builders import a_session, a_token, bearer
from tests.http.racing import (
    CONTENDERS,
    Request,
    assert_one_started,
    on_independent_connections,
    planned_sessions,
    starting,
)
from tests.http.responses import error_of
from tests.running import App, TestDatabase, eventually


def planning(user_id: UUID, **headers: str) -> Request:
    token = bearer(a_token(user_id))
    return lambda client: client.post("/sessions", headers=token | headers, json={"startNow": True})


@pytest.mark.parametrize("group_size_max", [1, 256])
async def test_of_50_planned_sessions_one_starts(
    start_app: Any, database: TestDatabase, group_size_max: int
) -> None:
    app = await start_app(group_size_max=group_size_max, user_queue_max=CONTENDERS)
    sessions = await planned_sessions(database)

    responses = await on_independent_connections(app, [starting(each) for each in sessions])

    await assert_one_started(database, responses)


async def test_of_50_planned_sessions_one_starts_across_replicas(
    start_app: Any, database: TestDatabase
) -> None:
    replicas = [await start_app() for _ in range(2)]
    sessions = await planned_sessions(database)

    halves = await asyncio.gather(
        *(
            on_independent_connections(app, [starting(each) for each in sessions[half::2]])
            for half, app in enumerate(replicas)
        )
    )

    await assert_one_started(database, [response for half in halves for response in half])


async def test_of_50_plans_with_start_now_one_creates_a_session(
    start_app: Any, database: TestDatabase
) -> None:
    replicas = [await start_app() for _ in range(2)]
    user_id = uuid4()

    halves = await asyncio.gather(
        *(on_independent_connections(app, [planning(user_id)] * 25) for app in replicas)
    )

    await assert_one_started(database, [response for half in halves for response in half])
    assert await database.value("SELECT count(*) FROM sessions") == 1


async def test_50_retries_of_one_plan_get_one_answer(
    start_app: Any, database: TestDatabase
) -> None:
    replicas = [await start_app() for _ in range(2)]
    retry = planning(uuid4(), **{"Idempotency-Key": "tap-1"})

    halves = await asyncio.gather(
        *(on_independent_connections(app, [retry] * 25) for app in replicas)
    )

    responses = [response for half in halves for response in half]
    assert {response.status_code for response in responses} == {201}
    assert len({response.content for response in responses}) == 1
    replayed = Counter(response.headers.get("Idempotent-Replayed") for response in responses)
    assert replayed == {None: 1, "true": 49}
    assert await database.value("SELECT count(*) FROM sessions") == 1
    assert len(await database.events()) == len(await database.outbox()) == 2


async def test_a_command_waits_for_the_lock_of_its_user_and_delays_no_other_user(
    app: App, database: TestDatabase
) -> None:
    """Another transaction has locked the user, and then starts a session."""
    held = await database.a_session(status="planned")
    first = await database.a_session(user_id=held.user_id, status="planned")
    free = await database.a_session(status="planned")

    async with database.connection.transaction():
        claim = "SELECT pg_advisory_xact_lock(1395864371, hashtext($1::uuid::text))"
        await database.execute(claim, held.user_id)
        await database.execute(
            "UPDATE sessions SET status = 'in_progress', started_at = now() WHERE id = $1", first.id
        )
        waiting = asyncio.create_task(app.call(held.user_id, "POST", f"/sessions/{held.id}/start"))
        other = await app.call(free.user_id, "POST", f"/sessions/{free.id}/start")
        assert other.status_code == 200
        assert not waiting.done()

    refused = await waiting
    error = error_of(refused)
    assert (refused.status_code, error["code"]) == (409, "ACTIVE_SESSION_EXISTS")
    assert error["details"] == {"activeSessionId": str(first.id)}


async def test_the_unique_index_refuses_a_second_session_started_without_the_user_lock(
    app: App, database: TestDatabase
) -> None:
    """A support engineer starts a session by hand, while the service starts another."""
    by_hand = await database.a_session(status="planned")
    session = await database.a_session(user_id=by_hand.user_id, status="planned")

    async with database.connection.transaction():
        await database.execute(
            "UPDATE sessions SET status = 'in_progress', started_at = now() WHERE id = $1",
            by_hand.id,
        )
        waiting = asyncio.create_task(
            app.call(session.user_id, "POST", f"/sessions/{session.id}/start")
        )
        await eventually(lambda: _somebody_waits(database))

    refused = await waiting
    assert (refused.status_code, error_of(refused)["code"]) == (409, "ACTIVE_SESSION_EXISTS")


async def _somebody_waits(database: TestDatabase) -> bool:
    return bool(await database.value("SELECT count(*) FROM pg_locks WHERE NOT granted"))


@pytest.mark.parametrize("size", [1, 256])
async def test_each_user_fails_one_session_and_starts_the_next_under_load(
    start_app: Any, database: TestDatabase, size: int
) -> None:
    """Each of 20 users fails one session and starts the next at the same time."""
    app = await start_app(group_size_max=size, groups_in_flight=1)
    running = [a_session() for _ in range(20)]
    following = [a_session(user_id=each.user_id, status="planned") for each in running]
    await database.insert(*running, *following)

    failed, started = await asyncio.gather(
        asyncio.gather(*(app.fail(each) for each in running)),
        asyncio.gather(
            *(app.call(each.user_id, "POST", f"/sessions/{each.id}/start") for each in following)
        ),
    )

    assert {each.status_code for each in failed} == {200}
    assert {each.status_code for each in started} <= {200, 409}
    in_progress = await database.value("SELECT count(*) FROM sessions WHERE status = 'in_progress'")
    assert in_progress == sum(each.status_code == 200 for each in started)

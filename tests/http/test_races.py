# SPDX-License-Identifier: MIT
"""Many requests at once: one winner, one event, whatever the interleaving."""

import asyncio
from collections import Counter
from typing import Any

import httpx2
import pytest

from service.domain.session import Session
from tests.builders import a_session, a_token, bearer
from tests.http.racing import CONTENDERS, Request, on_independent_connections
from tests.http.responses import error_of
from tests.running import App, TestDatabase, eventually
from tests.system.processes import LONG_TIME_LIMITS


def failing(session: Session, **headers: str) -> Request:
    token = bearer(a_token(session.user_id))
    return lambda client: client.post(f"/sessions/{session.id}/fail", headers=token | headers)


def patching(session: Session, body: dict[str, Any]) -> Request:
    token = bearer(a_token(session.user_id))
    return lambda client: client.patch(f"/sessions/{session.id}", json=body, headers=token)


@pytest.mark.parametrize("group_size_max", [1, 256])
async def test_one_of_50_wins_and_the_others_get_409(
    start_app: Any, database: TestDatabase, group_size_max: int
) -> None:
    app = await start_app(group_size_max=group_size_max, user_queue_max=CONTENDERS)
    session = await database.a_session()

    responses = await on_independent_connections(app, [failing(session)] * CONTENDERS)

    assert Counter(response.status_code for response in responses) == {200: 1, 409: 49}
    refusals = [response for response in responses if response.status_code == 409]
    assert {error_of(each)["details"]["currentStatus"] for each in refusals} == {"failed"}
    assert (await database.row(session))["version"] == 2
    [event] = await database.events()
    assert await database.outbox() == [event["id"]]


async def test_one_of_50_wins_across_replicas(start_app: Any, database: TestDatabase) -> None:
    replicas = [await start_app(groups_in_flight=1) for _ in range(2)]
    session = await database.a_session()

    halves = await asyncio.gather(
        *(on_independent_connections(each, [failing(session)] * 25) for each in replicas)
    )

    statuses = Counter(response.status_code for half in halves for response in half)
    assert statuses == {200: 1, 409: 49}
    assert len(await database.events()) == len(await database.outbox()) == 1


async def test_50_retries_with_one_key_get_one_answer(
    start_app: Any, database: TestDatabase
) -> None:
    replicas = [await start_app() for _ in range(2)]
    session = await database.a_session()
    retry = failing(session, **{"Idempotency-Key": "retry-1"})

    halves = await asyncio.gather(
        *(on_independent_connections(each, [retry] * 25) for each in replicas)
    )

    responses = [response for half in halves for response in half]
    assert {response.status_code for response in responses} == {200}
    assert len({response.content for response in responses}) == 1
    assert len({response.headers["ETag"] for response in responses}) == 1
    replayed = Counter(response.headers.get("Idempotent-Replayed") for response in responses)
    assert replayed == {None: 1, "true": 49}
    assert len(await database.events()) == len(await database.outbox()) == 1
    assert (await database.row(session))["version"] == 2


async def test_one_of_two_sessions_wins_a_key_that_both_use_at_once(
    app: App, database: TestDatabase
) -> None:
    first = await database.a_session()
    second = await database.a_session(user_id=first.user_id, status="planned")
    key = {"Idempotency-Key": "retry-1"}

    responses = await on_independent_connections(
        app, [failing(first, **key), failing(second, **key)] * 10
    )

    outcomes = Counter((response.status_code, response.url.path) for response in responses)
    assert outcomes[200, f"/sessions/{first.id}/fail"] == 10
    assert {error_of(each)["code"] for each in responses if each.status_code == 422} <= {
        "INVALID_STATUS",
        "IDEMPOTENCY_KEY_REUSED",
    }
    assert len(await database.events()) == 1


async def test_each_of_many_users_gets_their_own_answer(app: App, database: TestDatabase) -> None:
    running = [a_session() for _ in range(100)]
    ended = [a_session(status="completed") for _ in range(50)]
    missing = [a_session() for _ in range(50)]
    await database.insert(*running, *ended)

    responses = await asyncio.gather(*(app.fail(each) for each in [*running, *ended, *missing]))

    statuses = [response.status_code for response in responses]
    assert statuses == [200] * 100 + [409] * 50 + [404] * 50
    assert [response.json()["data"]["session"]["id"] for response in responses[:100]] == [
        str(session.id) for session in running
    ]
    assert len(await database.events()) == len(await database.outbox()) == 100


async def test_waits_for_a_row_that_another_transaction_has_locked(
    app: App, database: TestDatabase
) -> None:
    locked, free = await database.a_session(), await database.a_session()

    async with database.connection.transaction():
        await database.execute("SELECT FROM sessions WHERE id = $1 FOR UPDATE", locked.id)
        waiting = asyncio.create_task(app.fail(locked))
        assert (await app.fail(free)).status_code == 200
        assert (await app.get(locked)).json()["data"]["session"]["status"] == "in_progress"
        assert not waiting.done()

    assert (await waiting).status_code == 200
    assert len(await database.events()) == 2


async def test_returns_503_when_the_row_stays_locked(
    start_app: Any, database: TestDatabase
) -> None:
    app = await start_app(command_timeout_seconds=0.05)
    session = await database.a_session()

    async with database.connection.transaction():
        await database.execute("SELECT FROM sessions WHERE id = $1 FOR UPDATE", session.id)
        response = await app.fail(session)

    assert (response.status_code, error_of(response)["code"]) == (503, "OVERLOADED")
    assert int(response.headers["Retry-After"]) > 0
    assert await database.events() == []


async def test_returns_503_when_the_queue_is_full_before_anything_else_is_checked(
    start_app: Any, database: TestDatabase
) -> None:
    """One command waits for a locked row in the only slot; another one fills the queue."""
    app = await start_app(queue_max=1, groups_in_flight=1, **LONG_TIME_LIMITS)
    first, second = await database.a_session(), await database.a_session()

    async with database.connection.transaction():
        await database.execute("LOCK TABLE sessions")
        running = asyncio.create_task(app.fail(first))
        await eventually(lambda: _somebody_waits(database))
        queued = asyncio.create_task(app.fail(second))
        refused = await _refused_for_want_of_room(app)

    assert (refused.status_code, error_of(refused)["code"]) == (503, "OVERLOADED")
    assert int(refused.headers["Retry-After"]) > 0
    assert [(await each).status_code for each in (running, queued)] == [200, 200]


async def _refused_for_want_of_room(app: App) -> httpx2.Response:
    """Repeats a request without a token until its answer is not 401; returns that answer."""
    while True:
        response = await app.client.post("/sessions/knee/fail")
        if response.status_code != 401:
            return response


async def test_returns_503_when_a_command_waits_too_long(
    start_app: Any, database: TestDatabase
) -> None:
    limits = LONG_TIME_LIMITS | {"command_timeout_seconds": 0.05}
    app = await start_app(groups_in_flight=1, **limits)
    first, second = await database.a_session(), await database.a_session()

    async with database.connection.transaction():
        await database.execute("LOCK TABLE sessions")
        running = asyncio.create_task(app.fail(first))
        await eventually(lambda: _somebody_waits(database))
        expired = await app.fail(second)

    assert (expired.status_code, error_of(expired)["code"]) == (503, "OVERLOADED")
    assert (await running).status_code == 200
    assert await database.events(second) == []


async def _somebody_waits(database: TestDatabase) -> bool:
    return bool(await database.value("SELECT count(*) FROM pg_locks WHERE NOT granted"))


async def test_many_updates_at_once_each_get_a_version_of_their_own(
    start_app: Any, database: TestDatabase
) -> None:
    replicas = [await start_app() for _ in range(2)]
    session = await database.a_session()
    halves = [
        [patching(session, {"sets": [number]}) for number in numbers]
        for numbers in (range(1, 11), range(11, 21))
    ]

    answers = await asyncio.gather(
        *(
            on_independent_connections(app, requests)
            for app, requests in zip(replicas, halves, strict=True)
        )
    )

    every = [answer for half in answers for answer in half]
    assert {answer.status_code for answer in every} == {200}
    assert {answer.headers["ETag"] for answer in every} == {f'"{n}"' for n in range(2, 22)}
    events = await database.events(session)
    row = await database.row(session)
    last = max(events, key=lambda each: each["session_version"])
    assert row["sets"] == last["event_data"]["sets"]


async def test_updates_that_race_with_the_failure_come_before_it_or_get_409(
    app: App, database: TestDatabase
) -> None:
    session = await database.a_session()
    requests = [patching(session, {"sets": [number]}) for number in range(1, 25)]
    requests.insert(12, failing(session))

    answers = await on_independent_connections(app, requests)

    failed = answers.pop(12)
    statuses = Counter(answer.status_code for answer in answers)
    assert failed.status_code == 200
    assert statuses.keys() <= {200, 409}
    assert failed.headers["ETag"] == f'"{statuses[200] + 2}"'
    kinds = [each["event_type"] for each in sorted(
        await database.events(session), key=lambda each: each["session_version"]
    )]  # fmt: skip
    assert kinds == ["session_updated"] * statuses[200] + ["session_failed"]

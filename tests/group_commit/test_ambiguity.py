# SPDX-License-Identifier: MIT
"""The connection breaks at the write: each client gets a true answer, and nothing happens twice."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest

from service.application.ports import Outcome
from service.domain.errors import SessionNotFound, StatusTooLate
from service.domain.session import SessionStatus
from tests.builders import a_command, a_session
from tests.group_commit.driving import LIMITS, SHORT_LIMITS, group_commit
from tests.group_commit.proxy import Cut, Proxy, a_proxy
from tests.running import App, TestDatabase, eventually

SHORT_TIMEOUTS = {
    "database_lock_timeout_seconds": 0.5,
    "database_statement_timeout_seconds": 1,
    "database_idle_in_transaction_timeout_seconds": 1.5,
    "command_timeout_seconds": 60,
}
"""A connection that falls silent is given up soon; its command is executed again for a minute."""

SILENT = {Cut.VANISHED_BEFORE, Cut.VANISHED_AFTER}


@pytest.fixture
async def proxy(database: TestDatabase) -> AsyncIterator[Proxy]:
    async with a_proxy(database.api_url) as proxy:
        yield proxy


@pytest.fixture
async def app(start_app: Any, proxy: Proxy) -> App:
    app: App = await start_app(database_url=proxy.url, **SHORT_TIMEOUTS)
    return app


@pytest.mark.parametrize("cut", Cut)
async def test_answers_200_and_writes_one_event_when_the_connection_is_cut(
    app: App, proxy: Proxy, database: TestDatabase, cut: Cut
) -> None:
    session = await database.a_session()
    proxy.cuts = [cut]

    response = await app.fail(session, reason="knee")

    assert proxy.made == [cut]
    assert response.status_code == 200
    assert response.headers["ETag"] == '"2"'
    assert (await database.row(session))["version"] == 2
    [event] = await database.events()
    assert await database.outbox() == [event["id"]]
    assert (await app.get(session)).content == response.content


@pytest.mark.parametrize(
    "moment",
    [b"set_config", b"SKIP LOCKED", b"appended_events", b"COMMIT;\0"],
    ids=["BEGIN", "LOAD", "WRITE", "COMMIT"],
)
@pytest.mark.parametrize("cut", Cut)
async def test_answers_200_through_a_transaction_pooler_that_is_cut_at_any_moment(
    start_app: Any, proxy: Proxy, database: TestDatabase, moment: bytes, cut: Cut
) -> None:
    proxy.moment = moment
    app = await start_app(
        database_url=proxy.url, database_transaction_pooler=True, **SHORT_TIMEOUTS
    )
    session = await database.a_session()
    proxy.cuts = [cut]

    response = await app.fail(session)

    assert proxy.made == [cut]
    assert response.status_code == 200
    [event] = await database.events()
    assert await database.outbox() == [event["id"]]


@pytest.mark.parametrize("cut", Cut)
async def test_every_caller_of_a_group_gets_a_true_answer(
    proxy: Proxy, database: TestDatabase, cut: Cut
) -> None:
    """The first command forms a group alone; the others share a group, whose connection is cut."""
    first, *running = [a_session() for _ in range(30)]
    ended = [a_session(status=SessionStatus.COMPLETED) for _ in range(5)]
    await database.insert(first, *running, *ended)
    targets = [first, *running, *ended, *running[:10], a_session()]
    proxy.cuts = [None, cut]

    limits = SHORT_LIMITS if cut in SILENT else LIMITS
    async with group_commit(proxy.url, groups_in_flight=1, database_limits=limits) as commands:
        answers = await asyncio.gather(
            *(commands.execute(a_command(each)) for each in targets), return_exceptions=True
        )

    assert proxy.made == [cut]
    kinds = [type(answer) for answer in answers]
    assert kinds[:30] == [Outcome] * 30
    assert kinds[30:] == [StatusTooLate] * 15 + [SessionNotFound]
    events = await database.events()
    assert {event["session_id"] for event in events} == {each.id for each in (first, *running)}
    assert len(events) == len(await database.outbox()) == 30


@pytest.mark.parametrize("cut", Cut)
async def test_a_keyed_retry_storm_gets_one_answer_through_cuts(
    app: App, proxy: Proxy, database: TestDatabase, cut: Cut
) -> None:
    session = await database.a_session()
    proxy.cuts = [cut, None, cut]
    key = {"Idempotency-Key": "retry-1"}

    responses = await asyncio.gather(*(app.fail(session, headers=key) for _ in range(20)))

    assert {response.status_code for response in responses} == {200}
    assert len({response.content for response in responses}) == 1
    assert len(await database.events()) == 1


@pytest.mark.parametrize("cut", Cut)
async def test_an_update_is_made_once_when_the_connection_is_cut(
    app: App, proxy: Proxy, database: TestDatabase, cut: Cut
) -> None:
    session = await database.a_session()
    proxy.cuts = [cut]

    path, body = f"/sessions/{session.id}", {"sets": [12, 6]}
    response = await app.call(session.user_id, "PATCH", path, json=body)

    assert (response.status_code, response.headers["ETag"]) == (200, '"2"')
    [event] = await database.events()
    assert event["event_data"]["sets"] == [12, 6]
    assert await database.outbox() == [event["id"]]


@pytest.mark.parametrize("kind", ["plan", "start", "plan with a key"])
@pytest.mark.parametrize("cut", Cut)
async def test_a_session_is_made_once_when_the_connection_is_cut(
    app: App, proxy: Proxy, database: TestDatabase, cut: Cut, kind: str
) -> None:
    """A new session has no row whose lock shows whether the lost transaction has ended."""
    user_id, start_now = uuid4(), kind == "start"
    key = {"Idempotency-Key": "tap-1"} if kind == "plan with a key" else {}
    proxy.cuts = [cut]

    response = await app.call(
        user_id, "POST", "/sessions", json={"startNow": start_now}, headers=key
    )

    assert proxy.made == [cut]
    assert response.status_code == 201
    assert "Idempotent-Replayed" not in response.headers
    events = await database.events()
    assert [each["session_version"] for each in events] == ([1, 2] if start_now else [1])
    assert await database.outbox() == [each["id"] for each in events]
    [row] = await database.fetch("SELECT id FROM sessions")
    assert response.headers["Location"] == f"/sessions/{row['id']}"


@pytest.mark.parametrize("cut", Cut)
async def test_one_of_many_starts_wins_when_the_connection_is_cut(
    app: App, proxy: Proxy, database: TestDatabase, cut: Cut
) -> None:
    user_id = uuid4()
    sessions = [a_session(user_id=user_id, status=SessionStatus.PLANNED) for _ in range(10)]
    await database.insert(*sessions)
    proxy.cuts = [cut]

    responses = await asyncio.gather(
        *(app.call(user_id, "POST", f"/sessions/{each.id}/start") for each in sessions)
    )

    [won] = [each for each in responses if each.status_code == 200]
    active = won.json()["data"]["session"]["id"]
    refusals = [each.json()["error"] for each in responses if each is not won]
    assert {each["code"] for each in refusals} == {"ACTIVE_SESSION_EXISTS"}
    assert {each["details"]["activeSessionId"] for each in refusals} == {active}
    assert len(await database.events()) == len(await database.outbox()) == 1


async def test_answers_503_if_the_outcome_of_the_commit_stays_unknown(
    start_app: Any, proxy: Proxy, database: TestDatabase
) -> None:
    """The answer claims nothing about the command, and a retry with the key finds out."""
    settings = SHORT_TIMEOUTS | {"command_timeout_seconds": 0.1}
    app = await start_app(database_url=proxy.url, **settings)
    session = await database.a_session()
    key = {"Idempotency-Key": "retry-1"}
    proxy.cuts = [Cut.BEFORE_COMMIT] * 10_000

    response = await app.fail(session, headers=key)

    assert response.status_code == 503
    assert response.json()["error"]["code"] == "DEPENDENCY_UNAVAILABLE"
    proxy.cuts.clear()

    async def finds_out() -> bool:  # the transaction that was cut may still hold the row
        return bool((await app.fail(session, headers=key)).status_code == 200)

    await eventually(finds_out)
    assert len(await database.events()) == 1

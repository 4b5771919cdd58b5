# SPDX-License-Identifier: MIT
"""Requests that race, each on its own connection, and the assertion that one of them wins."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from uuid import uuid4

import httpx2

from service.domain.session import Session
from tests.builders import a_session, a_token, bearer
from tests.http.responses import error_of
from tests.running import NO_AUTHORITIES, App, TestDatabase

CONTENDERS = 50
"""More than the default of SERVICE_USER_QUEUE_MAX, so apps that they race in have a larger one."""

Request = Callable[[httpx2.AsyncClient], Awaitable[httpx2.Response]]


async def on_independent_connections(app: App, requests: list[Request]) -> list[httpx2.Response]:
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(
                httpx2.AsyncClient(base_url=app.url, timeout=60, verify=NO_AUTHORITIES)
            )
            for _ in requests
        ]
        return await asyncio.gather(
            *(request(client) for request, client in zip(requests, clients, strict=True))
        )


def starting(session: Session) -> Request:
    token = bearer(a_token(session.user_id))
    return lambda client: client.post(f"/sessions/{session.id}/start", headers=token)


async def planned_sessions(database: TestDatabase) -> list[Session]:
    user_id = uuid4()
    sessions = [a_session(user_id=user_id, status="planned") for _ in range(CONTENDERS)]
    await database.insert(*sessions)
    return sessions


async def assert_one_started(database: TestDatabase, responses: list[httpx2.Response]) -> None:
    assert Counter(each.status_code for each in responses) in (
        {200: 1, 409: len(responses) - 1},
        {201: 1, 409: len(responses) - 1},
    )
    [active] = await database.fetch("SELECT id FROM sessions WHERE status = 'in_progress'")
    refusals = [error_of(each) for each in responses if each.status_code == 409]
    assert {each["code"] for each in refusals} == {"ACTIVE_SESSION_EXISTS"}
    assert {each["details"]["activeSessionId"] for each in refusals} == {str(active["id"])}
    started = await database.fetch("SELECT FROM events WHERE event_type = 'session_started'")
    assert len(started) == 1

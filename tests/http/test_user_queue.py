# SPDX-License-Identifier: MIT
"""429: one user has as many commands waiting as one user may have."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from service.bootstrap.api import create_app
from service.domain.session import Session
from tests.builders import a_session, a_token, bearer
from tests.http.responses import error_of
from tests.running import App, TestDatabase, eventually, test_settings
from tests.system.processes import LONG_TIME_LIMITS

FLOOD = 5000


@dataclass
class Flooded:
    """One command of the user is under way, and one waits; `release` lets them go on."""

    app: App
    session: Session
    accepted: list[asyncio.Task[httpx2.Response]]

    async def is_refused(self) -> bool:
        """A malformed id is 400 as long as the user may have another command waiting."""
        return (await self.answer("/sessions/knee/fail")).status_code != 400

    async def answer(self, path: str, **options: Any) -> httpx2.Response:
        return await self.app.call(self.session.user_id, "POST", path, **options)


@asynccontextmanager
async def flooded(app: App, database: TestDatabase) -> AsyncIterator[Flooded]:
    """The lock stops commands and lets reads pass."""
    session = await database.a_session()
    waiting = await database.a_session(user_id=session.user_id, status="planned")
    async with database.connection.transaction():
        await database.execute("LOCK TABLE sessions IN EXCLUSIVE MODE")
        accepted = [asyncio.create_task(app.fail(session))]
        await eventually(lambda: _a_lock_is_waited_for(database))
        accepted.append(asyncio.create_task(app.fail(waiting)))
        flood = Flooded(app, session, accepted)
        await eventually(flood.is_refused)
        yield flood


async def _a_lock_is_waited_for(database: TestDatabase) -> bool:
    return bool(await database.value("SELECT count(*) FROM pg_locks WHERE NOT granted"))


@pytest.fixture
async def small(start_app: Any) -> App:
    app: App = await start_app(user_queue_max=1, **LONG_TIME_LIMITS)
    return app


async def test_refuses_the_user_with_429_executes_nothing_and_serves_others(
    small: App, database: TestDatabase
) -> None:
    other = await database.a_session()
    async with flooded(small, database) as flood:
        refused = await small.fail(flood.session, headers={"Idempotency-Key": "tap-1"})
        of_other = asyncio.create_task(small.fail(other))
        read = await small.get(flood.session)

    error = error_of(refused)
    assert (refused.status_code, error["code"]) == (429, "TOO_MANY_REQUESTS")
    assert error["details"] == {"maxWaiting": 1}
    assert int(refused.headers["Retry-After"]) > 0
    assert read.status_code == 200
    assert [(await each).status_code for each in flood.accepted] == [200, 422]
    assert (await of_other).status_code == 200
    assert len(await database.events(flood.session)) == 1
    assert (await small.fail(flood.session)).status_code == 409


REFUSED_BEFORE: dict[str, tuple[str, dict[str, Any]]] = {
    "a malformed id": ("/sessions/knee/fail", {}),
    "a body that is no JSON": ("/sessions/{id}/fail", {"content": b"{"}),
    "a body that is too large": ("/sessions/{id}/fail", {"content": b" " * 20_000}),
    "a malformed Idempotency-Key": ("/sessions/{id}/fail", {"headers": {"Idempotency-Key": ""}}),
    "a new session": ("/sessions", {"json": {"startNow": "yes"}}),
}


async def test_429_comes_after_401_and_before_all_that_is_wrong_with_the_request(
    small: App, database: TestDatabase
) -> None:
    async with flooded(small, database) as flood:
        for path, options in REFUSED_BEFORE.values():
            response = await flood.answer(path.format(id=flood.session.id), **options)
            assert response.status_code == 429
        stranger = await small.client.post(f"/sessions/{flood.session.id}/fail")
        assert stranger.status_code == 401
    await asyncio.gather(*flood.accepted)


async def test_503_comes_before_429_if_the_queue_of_all_is_full_too(
    start_app: Any, database: TestDatabase
) -> None:
    app = await start_app(queue_max=1, user_queue_max=1, **LONG_TIME_LIMITS)
    async with flooded(app, database) as flood:
        refused = await app.fail(flood.session)
    await asyncio.gather(*flood.accepted)

    assert (refused.status_code, error_of(refused)["code"]) == (503, "OVERLOADED")


async def test_a_flood_of_5000_refuses_its_user_and_none_of_50_others(
    database: TestDatabase,
) -> None:
    """The app that ships, called without sockets: a process may not open 5,000 of them."""
    mine, others = a_session(), [a_session() for _ in range(50)]
    await database.insert(mine, *others)
    settings = test_settings(
        database_url=database.api_url, log_level="warning", command_timeout_seconds=60
    )
    app = create_app(settings)

    async with app.router.lifespan_context(app) as state:

        async def status_of(scope: dict[str, Any]) -> int:
            return await _status(app, scope | {"state": dict(state or {})})

        flood = [_failing(mine)] * FLOOD
        statuses = await asyncio.gather(
            *map(status_of, flood[::2]), *map(status_of, map(_failing, others)),
            *map(status_of, flood[::2]),
        )  # fmt: skip

    of_others = statuses[FLOOD // 2 : -FLOOD // 2]
    of_flood = Counter(statuses) - Counter(of_others)
    assert of_others == [200] * 50
    assert of_flood[200] == 1
    assert of_flood.keys() == {200, 409, 429}
    assert of_flood[429] > FLOOD // 2
    assert len(await database.events()) == 51


def _failing(session: Session) -> dict[str, Any]:
    token = bearer(a_token(session.user_id))["Authorization"]
    return {
        "type": "http",
        "method": "POST",
        "path": f"/sessions/{session.id}/fail",
        "query_string": b"",
        "headers": [(b"authorization", token.encode())],
    }


async def _status(app: Any, scope: dict[str, Any]) -> int:
    statuses: list[int] = []
    body: Iterator[dict[str, Any]] = iter([{"type": "http.request", "body": b""}])

    async def receive() -> dict[str, Any]:
        return next(body)

    async def send(message: dict[str, Any]) -> None:
        statuses.append(message.get("status", 0))

    await app(scope, receive, send)
    return statuses[0]

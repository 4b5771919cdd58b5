# SPDX-License-Identifier: MIT
"""The database stands still while clients go on sending requests."""

import asyncio
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from service.bootstrap.api import create_app
from service.dev import postgres as embedded
from service.domain.session import Session
from tests.builders import a_session, a_token, bearer
from tests.freezing import frozen
from tests.running import Cluster, TestDatabase, a_database, test_settings
from tests.system.processes import LONG_TIME_LIMITS

REQUESTS = 5000
QUEUE = 1000
MEMORY_MAX_BYTES = 200 * 1024 * 1024


@pytest.fixture
def server() -> Iterator[embedded.Server]:
    """A server for this test alone, which the test may stop."""
    with tempfile.TemporaryDirectory(prefix="overload-") as home:
        Path(home).chmod(0o755)
        with embedded.running(Path(home) / "server", {"fsync": "off"}) as server:
            yield server


@pytest.fixture
async def its_database(server: embedded.Server) -> AsyncIterator[TestDatabase]:
    cluster = Cluster(server.url())
    await cluster.make_logins()
    async with a_database(cluster, template="template0") as database:
        await asyncio.to_thread(cluster.migrate, database.name)
        yield database


@asynccontextmanager
async def in_process(**overrides: Any) -> AsyncIterator[httpx2.AsyncClient]:
    """The app that ships, without sockets: a process may not open 5,000 of them."""
    app = create_app(test_settings(**overrides))

    async with app.router.lifespan_context(app) as state:

        async def with_state(scope: Scope, receive: Receive, send: Send) -> None:
            await app({**scope, "state": dict(state or {})}, receive, send)

        async with client_of(with_state) as client:
            yield client


def client_of(app: ASGIApp) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=app), base_url="http://in-process", timeout=None
    )


@asynccontextmanager
async def standing_still(server: embedded.Server, database: TestDatabase) -> AsyncIterator[None]:
    postmaster = int((server.data / "postmaster.pid").read_text().splitlines()[0])
    backends = await database.fetch(
        "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'"
    )  # a worker of autovacuum may end meanwhile
    processes = [postmaster, *(each["pid"] for each in backends)]
    async with frozen(*processes):
        yield


async def fail(client: httpx2.AsyncClient, session: Session) -> tuple[Session, httpx2.Response]:
    token = bearer(a_token(session.user_id))
    return session, await client.post(f"/sessions/{session.id}/fail", headers=token)


async def test_answers_200_or_503_and_executes_no_command_that_it_answered_with_503(
    server: embedded.Server, its_database: TestDatabase
) -> None:
    sessions = [a_session() for _ in range(REQUESTS)]
    await its_database.insert(*sessions)
    async with in_process(
        database_url=its_database.api_url,
        groups_in_flight=2,
        queue_max=QUEUE,
        **LONG_TIME_LIMITS | {"command_timeout_seconds": 1},
    ) as client:
        warm = [a_session() for _ in range(2)]
        await its_database.insert(*warm)
        await asyncio.gather(*(fail(client, each) for each in warm))
        before = psutil.Process().memory_info().rss

        async with standing_still(server, its_database):
            tasks = [asyncio.create_task(fail(client, each)) for each in sessions]
            answered, under_way = await first(tasks, REQUESTS - 2)
            while_standing_still = psutil.Process().memory_info().rss
        answers = [*answered, *await asyncio.gather(*under_way)]
        later = [await fail(client, session) for session, _ in answered[:100]]

    statuses = Counter(response.status_code for _, response in answers)
    assert statuses == {503: REQUESTS - 2, 200: 2}
    for _, response in answered:
        assert response.json()["error"]["code"] == "OVERLOADED"
        assert int(response.headers["Retry-After"]) > 0
    assert {response.status_code for _, response in later} == {200}
    assert len(await its_database.events()) == 2 + 2 + 100
    assert while_standing_still - before < MEMORY_MAX_BYTES


async def first(tasks: list[asyncio.Task[Any]], number: int) -> tuple[list[Any], set[Any]]:
    """The results of the tasks that end first, and the tasks that still run."""
    under_way = set(tasks)
    while len(tasks) - len(under_way) < number:
        _, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
    return [task.result() for task in tasks if task not in under_way], under_way

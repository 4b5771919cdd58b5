# SPDX-License-Identifier: MIT
"""Two replicas behind a real HAProxy that is configured as in docker-compose.yml."""

import asyncio
import re
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest

from service.application.errors import DependencyUnavailable
from tests.engines.programs import load_on
from tests.haproxy.balancer import HOSTS, configuration, names
from tests.optional_programs import HAPROXY
from tests.running import App, TestDatabase, eventually
from tests.system.compose import SERVICES
from tests.system.processes import (
    PATIENCE_SECONDS,
    Process,
    free_port,
    listening_url,
    serve_environment,
    started,
)

USERS = 16
HALF_ANSWERED = "without sending complete message body"
"""The client's error when the connection ends in the middle of an answer."""
NOTICE = "SERVICE_SHUTDOWN_NOTICE_SECONDS"


@dataclass
class Balanced:
    """Two replicas, and a client of the balancer before them."""

    app: App
    metrics: str
    environment: dict[str, str]
    replicas: dict[str, AsyncExitStack] = field(default_factory=dict)
    processes: dict[str, Process] = field(default_factory=dict)

    async def start(self, host: str) -> None:
        environment = self.environment | {"SERVICE_HOST": host}
        self.replicas[host] = stack = AsyncExitStack()
        process = await stack.enter_async_context(started("serve", environment=environment))
        self.processes[host] = process
        await listening_url(process)

    async def end(self, host: str, number: signal.Signals) -> None:
        self.processes[host].signal(number)
        await self.processes[host].end()
        await self.close(host)

    async def close(self, host: str) -> None:
        await self.replicas[host].aclose()

    async def wait_for_replicas(self, count: int) -> None:
        async def has() -> bool:
            metrics = (await self.app.client.get(f"{self.metrics}/metrics")).text
            found = re.search(r'backend_active_servers\{proxy="replicas"\} (\d+)', metrics)
            return found is not None and int(found[1]) == count

        await eventually(has)

    async def restart_each(self, number: signal.Signals) -> None:
        for host in HOSTS:
            await self.end(host, number)
            await self.wait_for_replicas(1)
            await self.start(host)
            await self.wait_for_replicas(2)


@pytest.fixture
async def balanced(database: TestDatabase, tmp_path: Path) -> AsyncIterator[Balanced]:
    ports = {name: free_port() for name in ("clients", "metrics", "api", "names")}
    config = tmp_path / "haproxy.cfg"
    config.write_text(configuration(ports))
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(
            httpx2.AsyncClient(
                base_url=f"http://127.0.0.1:{ports['clients']}", timeout=PATIENCE_SECONDS
            )
        )
        balanced = Balanced(
            App(str(client.base_url), client),
            f"http://127.0.0.1:{ports['metrics']}",
            serve_environment(database.api_url, port=str(ports["api"]))
            | {NOTICE: SERVICES["api"]["environment"][NOTICE]},
        )
        for host in HOSTS:
            stack.push_async_callback(balanced.close, host)
            await balanced.start(host)
        await stack.enter_async_context(names(ports["names"]))
        haproxy = started("-f", str(config), command=[HAPROXY.path()])
        process = await stack.enter_async_context(haproxy)
        await process.line("is UP")
        await balanced.wait_for_replicas(2)
        yield balanced


@dataclass
class Lives:
    """Users who plan, start, update, read, and complete or fail one session after another."""

    app: App
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    ends: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as users:
            for _ in range(USERS):
                users.create_task(self._train(uuid4()))

    async def _train(self, user_id: UUID) -> None:
        for number in count():
            if self.ends.is_set():
                return
            planned = await self._call(user_id, "plan", "POST", "/sessions", json={})
            path = planned.headers["Location"]
            await self._call(user_id, "start", "POST", f"{path}/start")
            await self._call(user_id, "update", "PATCH", path, json={"sets": [12, 10, None]})
            await self._call(user_id, "get", "GET", path)
            end = "fail" if number % 2 else "complete"
            await self._call(user_id, end, "POST", f"{path}/{end}")

    async def _call(
        self, user_id: UUID, name: str, method: str, path: str, **options: Any
    ) -> httpx2.Response:
        answer = await self.app.call(user_id, method, path, **options)
        self.outcomes[name, str(answer.status_code)] += 1
        return answer


async def test_no_request_fails_while_users_train_during_a_rolling_restart(
    balanced: Balanced, database: TestDatabase
) -> None:
    lives = Lives(balanced.app)
    running = asyncio.create_task(lives.run())
    await balanced.restart_each(signal.SIGTERM)
    lives.ends.set()
    await running

    calls = ("plan", "start", "update", "get", "complete", "fail")
    assert set(lives.outcomes) == {(each, "201" if each == "plan" else "200") for each in calls}
    commands = lives.outcomes.total() - lives.outcomes["get", "200"]
    assert len(await database.events()) == commands


async def test_requests_with_keys_succeed_while_replicas_are_killed_unless_half_answered(
    balanced: Balanced, database: TestDatabase
) -> None:
    async with load_on(balanced.app, database, with_keys=True) as load:
        await balanced.restart_each(signal.SIGKILL)

    assert {outcome for outcome in load.outcomes if HALF_ANSWERED not in outcome} == {"200"}
    assert len(await database.events()) == load.outcomes.total()


async def test_answers_503_in_the_format_of_the_service_without_any_replica(
    balanced: Balanced,
) -> None:
    for host in HOSTS:
        await balanced.end(host, signal.SIGTERM)
    await balanced.wait_for_replicas(0)

    for request_id in ("set-12", 'set "12"'):
        answer = await balanced.app.client.get("/livez", headers={"X-Request-Id": request_id})
        error = answer.json()["error"]
        assert answer.status_code == 503
        assert error["code"] == DependencyUnavailable.code
        assert error["details"]["requestId"] == answer.headers["X-Request-Id"]
        assert (answer.headers["X-Request-Id"] == request_id) == (request_id == "set-12")
        assert answer.headers["Retry-After"] == "1"
        assert answer.headers["Cache-Control"] == "no-store"

# SPDX-License-Identifier: MIT
"""SIGTERM to `serve` under load: clients that go on until nobody takes their connections."""

import asyncio
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from service.domain.session import Session
from tests.builders import a_session
from tests.http.bare import BareConnection, a_post, connected
from tests.running import App, TestDatabase
from tests.system.processes import a_service

CLIENTS = 16
SESSIONS = 4000
BEFORE_SIGTERM = 200
BODY = b"{}"


@dataclass
class Load:
    """Clients that fail one session after another, each with `pipelined` requests at a time.

    `outcomes` counts the answers by status, and the requests that got none as "lost".
    """

    app: App
    sessions: Iterator[Session]
    pipelined: int
    outcomes: Counter[str] = field(default_factory=Counter)
    has_begun: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as clients:
            for _ in range(CLIENTS):
                clients.create_task(self._client())

    async def _client(self) -> None:
        while True:
            try:
                async with connected(self.app) as connection:
                    if not await self._use(connection):
                        return
            except ConnectionError:  # nobody listens: nothing has begun
                return

    async def _use(self, connection: BareConnection) -> bool:
        """Sends requests until the server asks to connect again; returns False at the end."""
        while batch := [
            each for _, each in zip(range(self.pipelined), self.sessions, strict=False)
        ]:
            requests = [a_post(b"Content-Length: 2", session=each) + BODY for each in batch]
            connection.writer.write(b"".join(requests))
            for number in range(len(batch)):
                try:
                    answer = await connection.answer()
                except (ConnectionError, asyncio.IncompleteReadError):
                    self.outcomes["lost"] += len(batch) - number
                    return True
                self._count(answer.status)
                if "connection" in answer.headers:
                    # RFC 9112, 9.6: what was sent behind this request has not been executed.
                    self.outcomes["not executed"] += len(batch) - number - 1
                    return True
        return False

    def _count(self, status: int) -> None:
        self.outcomes[str(status)] += 1
        if self.outcomes.total() >= BEFORE_SIGTERM:
            self.has_begun.set()


@pytest.mark.parametrize("pipelined", [1, 4])
@pytest.mark.parametrize("workers", ["1", "2"])
async def test_sigterm_under_load_loses_no_request(
    database: TestDatabase, workers: str, pipelined: int
) -> None:
    sessions = [a_session() for _ in range(SESSIONS)]
    await database.insert(*sessions)
    async with a_service(database.api_url, workers=workers) as (process, app):
        load = Load(app, iter(sessions), pipelined)
        running = asyncio.create_task(load.run())
        await load.has_begun.wait()
        process.signal(signal.SIGTERM)

        assert await process.end() == 0
        await running

    assert set(load.outcomes) <= {"200", "not executed"}
    assert BEFORE_SIGTERM <= load.outcomes["200"] < SESSIONS
    assert len(await database.events()) == load.outcomes["200"]

# SPDX-License-Identifier: MIT
"""Programs that these tests need, and the load that runs through them."""

import asyncio
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx2
import pytest

from service.domain.session import Session
from tests.builders import a_session
from tests.running import App, TestDatabase

CLIENTS = 16
SESSIONS = 5000


def program(name: str) -> str:
    """The path of a program. Debian has a package of the same name."""
    found = shutil.which(name)
    if found is None:
        pytest.fail(f"{name} is needed, and not on the PATH", pytrace=False)
    return found


@dataclass
class Load:
    """Clients that fail one session after another.

    `outcomes` counts the answers by status, and the requests without an answer by their error.
    """

    app: App
    sessions: Iterator[Session]
    with_keys: bool
    outcomes: Counter[str] = field(default_factory=Counter)
    ends: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as clients:
            for _ in range(CLIENTS):
                clients.create_task(self._client())

    async def _client(self) -> None:
        for session in self.sessions:
            if self.ends.is_set():
                return
            headers = {"Idempotency-Key": str(session.id)} if self.with_keys else {}
            try:
                answer = await self.app.fail(session, reason="knee hurts", headers=headers)
                self.outcomes[str(answer.status_code)] += 1
            except httpx2.TransportError as exc:
                self.outcomes[str(exc)] += 1


@asynccontextmanager
async def load_on(app: App, database: TestDatabase, *, with_keys: bool) -> AsyncIterator[Load]:
    """The load runs until the block ends, and every request has its answer."""
    sessions = [a_session() for _ in range(SESSIONS)]
    await database.insert(*sessions)
    load = Load(app, iter(sessions), with_keys)
    running = asyncio.create_task(load.run())
    yield load
    load.ends.set()
    await running

# SPDX-License-Identifier: MIT
"""A stranger to the database harms those who use it, and as long as the fault lasts."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import suppress
from random import Random
from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest

from service.domain.session import SessionStatus
from tests.chaos.faults_of_database import ERRORS
from tests.chaos.faults_of_strangers import connections_used_up, rows_locked
from tests.chaos.nemesis import NotCaused
from tests.listening import listening
from tests.running import Cluster, TestDatabase, a_database, eventually

TURNS = range(12)
"""Of the event loop: a connection to this machine takes half of them."""

CONNECTIONS = 10
CLIENTS = 4


@pytest.fixture
async def small(cluster: Cluster, template: str) -> AsyncIterator[TestDatabase]:
    """A database with few connections; a superuser does not count, as with `max_connections`."""
    async with a_database(cluster, template=template) as database:
        await database.execute(f"ALTER DATABASE {database.name} CONNECTION LIMIT {CONNECTIONS}")
        yield database


def an_installation(database: object) -> Any:
    return SimpleNamespace(database=database)


def chosen() -> Random:
    return Random(1)  # noqa: S311  no secret


async def close_at_once(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """A server that is about to end."""


async def test_nothing_is_logged_if_the_fault_ends_while_a_connection_is_made(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with listening(close_at_once) as port:
        url = f"postgresql://coach@127.0.0.1:{port}/gym"
        database = SimpleNamespace(url="not a URL", api_url=url)  # the fault begins at once
        for turns in TURNS:
            with suppress(NotCaused):
                async with connections_used_up(an_installation(database), chosen()):
                    for _ in range(turns):
                        await asyncio.sleep(0)
    gc.collect()

    assert caplog.messages == []


class Client:
    """Uses one connection again and again, and connects again at once when it is lost."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.served = self.refused = 0

    async def run(self, ends: asyncio.Event) -> None:
        while not ends.is_set():
            with suppress(*ERRORS):
                await self._use(ends)
                return
            self.refused += 1
            await asyncio.sleep(0.001)

    async def _use(self, ends: asyncio.Event) -> None:
        connection = await asyncpg.connect(self.url)
        try:
            while not ends.is_set():
                await connection.execute("SELECT 1")
                self.served += 1
                await asyncio.sleep(0.01)
        finally:
            connection.terminate()


async def test_clients_that_reconnect_at_once_are_refused_while_connections_are_used_up(
    small: TestDatabase,
) -> None:
    clients, ends = [Client(small.api_url) for _ in range(CLIENTS)], asyncio.Event()

    async def are_served() -> bool:
        return all(each.served > 0 for each in clients)

    async def are_refused() -> bool:
        """For as long as a fault lasts, once the stranger has all connections."""
        before = [(each.served, each.refused) for each in clients]
        await asyncio.sleep(0.5)
        return all(
            each.served == served and each.refused > refused + 3
            for each, (served, refused) in zip(clients, before, strict=True)
        )

    async with asyncio.TaskGroup() as group:
        for each in clients:
            group.create_task(each.run(ends))
        await eventually(are_served)
        async with connections_used_up(an_installation(small), chosen()):
            await eventually(are_refused, tries=20)
            assert await are_refused()
            assert await small.value("SELECT 1") == 1
            await (await small.connect()).close()
        for each in clients:
            each.served = 0
        await eventually(are_served)
        ends.set()


async def test_connections_that_were_never_used_up_do_not_count(small: TestDatabase) -> None:
    with pytest.raises(NotCaused):
        async with connections_used_up(an_installation(small), chosen()):
            pass


async def test_locks_the_rows_that_their_users_change_next(database: TestDatabase) -> None:
    statuses = ["planned", "in_progress", "completed", "failed"]
    for status in statuses:
        await database.a_session(status=SessionStatus(status))
    all_rows = "SELECT status FROM sessions ORDER BY status FOR UPDATE"
    async with rows_locked(an_installation(database), chosen()):
        free = await database.fetch(f"{all_rows} SKIP LOCKED")
        assert [row["status"] for row in free] == ["completed", "failed"]

    freed = await database.fetch(all_rows)
    assert [row["status"] for row in freed] == sorted(statuses)


async def test_a_lock_that_it_did_not_get_does_not_count(database: TestDatabase) -> None:
    with pytest.raises(NotCaused):
        async with rows_locked(an_installation(database), chosen()):
            pytest.fail("there is no row to lock")

# SPDX-License-Identifier: MIT
"""The disk of the database is full: reads go on, writes are refused, and readiness says so."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.postgres import a_migrated_database, a_postgres
from tests.http.responses import error_of
from tests.persistence.transacting import KILL_CONNECTIONS
from tests.running import TestDatabase
from tests.system.processes import a_service

FULL = "the disk of the database is full (53100)"


@pytest.fixture
async def database() -> AsyncIterator[TestDatabase]:
    """On a server of its own, whose files the test may exchange."""
    with a_postgres() as postgres:
        async with a_migrated_database(postgres.cluster) as database:
            yield database


@contextmanager
def without_space(empty_file: Path) -> Iterator[None]:
    """Exchanges it for the device that refuses every write, as a full disk does."""
    assert empty_file.stat().st_size == 0
    original = empty_file.rename(empty_file.with_suffix(".original"))
    empty_file.symlink_to("/dev/full")
    yield
    original.rename(empty_file)


async def test_serves_reads_and_says_that_it_cannot_write(database: TestDatabase) -> None:
    directory = await database.value("SHOW data_directory")
    outbox = Path(directory, await database.value("SELECT pg_relation_filepath('outbox')"))
    session = await database.a_session()
    async with a_service(database.api_url) as (process, app):
        before = await app.client.get("/readyz")
        with without_space(outbox):
            refused = [await app.fail(session) for _ in range(5)]
            read = await app.get(session)
            full = await app.client.get("/readyz")
        await database.execute(KILL_CONNECTIONS)  # they have opened the device
        written = await app.fail(session)
        await process.line("available again")
        after = await app.client.get("/readyz")

    assert [error_of(each)["code"] for each in refused] == ["DEPENDENCY_UNAVAILABLE"] * 5
    assert (read.status_code, written.status_code) == (200, 200)
    all_ok = dict.fromkeys(before.json()["data"]["checks"], "ok")
    assert [each.json().get("data") for each in (before, full, after)] == [
        {"checks": all_ok},
        {"checks": all_ok | {"writes": FULL}},
        {"checks": all_ok},
    ]
    lines = [json.loads(line) for line in process.out]
    assert [line["cause"] for line in lines if line["event"] == "unavailable"] == [FULL]

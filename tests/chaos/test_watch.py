# SPDX-License-Identifier: MIT
"""The watch finds wrong rows of a real database, tolerates its absence, and says if it dies."""

import asyncio
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from tests.chaos.history import Attempt
from tests.chaos.watch import AWAY, Watch
from tests.relay.queue import an_event
from tests.running import TestDatabase
from tests.system.processes import free_port

ACKNOWLEDGED = Attempt(
    "phone-7", uuid4(), "fail", key="key-1", begun=10, ended=11, left=11, status=200
)
"""`an_event` inserts an event of this request."""


async def findings(database: TestDatabase, *history: Attempt) -> list[str]:
    watch = Watch(database.url, history)
    await watch.look(database.connection)
    return [each.kind for each in watch.found]


async def test_finds_a_session_without_events(database: TestDatabase) -> None:
    await database.a_session(version=1)

    assert await findings(database) == ["gap"]


@pytest.mark.parametrize(
    ("version", "events", "kinds"),
    [(3, [1, 2, 3], []), (3, [1, 3], ["gap"]), (2, [1, 3], ["gap"]), (2, [1, 2, 3], ["gap"])],
)
async def test_finds_a_history_that_is_not_complete(
    database: TestDatabase, version: int, events: list[int], kinds: list[str]
) -> None:
    session = await database.a_session(version=version)
    for each in events:
        await an_event(database, session, each)

    assert await findings(database) == kinds


@pytest.mark.parametrize(
    ("changes", "kinds"),
    [
        ({}, []),
        ({"request_id": "phone-8"}, ["lost"]),
        ({"request_id": "phone-8", "left": float("inf"), "status": None}, []),
        ({"request_id": "phone-8", "status": 503, "code": "OVERLOADED"}, []),
        ({"request_id": "phone-8", "is_replay": True}, []),
        ({"request_id": "phone-8", "verb": "update"}, []),
        ({"request_id": "phone-8", "verb": "get"}, []),
    ],
)
async def test_finds_an_acknowledged_command_without_an_event(
    database: TestDatabase, changes: dict[str, Any], kinds: list[str]
) -> None:
    await an_event(database, await database.a_session(version=1), 1)

    assert await findings(database, replace(ACKNOWLEDGED, **changes)) == kinds


async def test_judges_a_command_at_the_first_look_after_its_answer(database: TestDatabase) -> None:
    attempt = Attempt("phone-8", uuid4(), "fail", key="key-1", begun=10)
    watch = Watch(database.url, [attempt])

    await watch.look(database.connection)
    before = list(watch.found)
    attempt.status, attempt.left = 200, 12
    await watch.look(database.connection)
    await watch.look(database.connection)

    assert (before, [each.kind for each in watch.found]) == ([], ["lost"])


async def test_judges_a_command_after_an_outage_in_which_it_could_not_look(
    database: TestDatabase,
) -> None:
    watch = Watch(database.url, [replace(ACKNOWLEDGED, request_id="phone-8")])
    closed = await database.connect()
    await closed.close()

    with pytest.raises(AWAY):
        await watch.look(closed)
    await watch.look(database.connection)

    assert ([each.kind for each in watch.found], watch.looks) == (["lost"], 1)


@pytest.fixture
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.chaos.watch.PAUSE_SECONDS", 0)


@pytest.mark.usefixtures("without_pauses")
async def test_finds_a_gap_while_users_live(database: TestDatabase) -> None:
    watch = Watch(database.url, [])

    async with watch.during() as watching, asyncio.timeout(10):
        await database.a_session(version=1)
        await asyncio.wait([watching])

    assert {each.kind for each in watch.found} == {"gap"}


@pytest.mark.usefixtures("without_pauses")
async def test_is_a_finding_if_an_error_ends_the_watch(
    database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.chaos.watch.GAPS", "SELECT 1 AS other")
    watch = Watch(database.url, [])

    async with watch.during() as watching, asyncio.timeout(10):
        await asyncio.wait([watching])

    assert "the watch has ended: KeyError('id')" in str(watch.found)


@pytest.mark.usefixtures("without_pauses")
async def test_is_a_finding_if_the_database_was_never_there() -> None:
    watch = Watch(f"postgresql://coach@127.0.0.1:{free_port()}/gym", [])

    async with watch.during():
        await asyncio.sleep(0.05)

    assert [each.sentence for each in watch.found] == ["no look of the watch reached the database"]

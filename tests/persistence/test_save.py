# SPDX-License-Identifier: MIT
"""WRITE: sessions, events and outbox in one statement, all of them or none."""

import asyncio
from copy import copy
from dataclasses import replace
from uuid import uuid4

import pytest
from sqlalchemy.exc import DBAPIError

from service.application.commands import CompleteSession, PlanSession, StartSession
from service.application.errors import Contended, DependencyUnavailable
from service.domain.session import SessionStatus
from service.domain.text import Notes
from service.persistence.database import Database
from tests.builders import MORNING, a_command, a_session
from tests.persistence.conftest import in_both_layouts
from tests.persistence.stepping import open_unit_of_work
from tests.persistence.transacting import (
    LATER,
    a_failure,
    applied,
    event_id_of,
    load,
    users_of,
    write,
)
from tests.running import TestDatabase

pytestmark = in_both_layouts


async def test_writes_session_event_and_outbox(units: Database, database: TestDatabase) -> None:
    session = await database.a_session(version=4)
    before = await database.row(session)
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    change = a_failure(session, traceparent=trace)

    await write(units, change)

    assert await database.row(session) == before | {
        "status": "failed",
        "ended_at": LATER,
        "version": 5,
        "updated_at": LATER,
    }
    assert await database.events() == [
        {
            "user_id": session.user_id,
            "id": event_id_of(change),
            "session_id": session.id,
            "session_version": 5,
            "event_type": "session_failed",
            "event_data": {"reason": "knee hurts"},
            "occurred_at": LATER,
            "request_id": "a-request",
            "idempotency_key": None,
            "command_fingerprint": None,
            "session_snapshot": None,
            "traceparent": trace,
        }
    ]
    assert await database.outbox() == [event_id_of(change)]


async def test_inserts_a_new_session_with_both_events_and_one_idempotency_record(
    units: Database, database: TestDatabase
) -> None:
    wanted = {"sets": (12, None), "notes": Notes("leg day"), "start_now": True}
    change = applied(a_command(None, PlanSession, **wanted, idempotency_key="k"))

    await write(units, change)
    async with open_unit_of_work(units, users_of(change.session)) as work:
        [loaded] = await load(work, a_command(change.session, idempotency_key="k"))

    assert loaded.idempotency_record
    assert loaded.session == loaded.idempotency_record.session == change.session
    events = [
        (each["session_version"], each["idempotency_key"]) for each in await database.events()
    ]
    assert events == [(1, "k"), (2, None)]
    assert await database.outbox() == [event_id for event_id, _ in change.events]


async def test_writes_a_session_that_changed_twice_once_and_both_events(
    units: Database, database: TestDatabase
) -> None:
    planned = await database.a_session(status=SessionStatus.PLANNED)
    start = applied(a_command(planned, StartSession), planned)
    failure = a_failure(start.session)

    await write(units, start, failure)

    row = await database.row(planned)
    assert (row["status"], row["version"]) == ("failed", 3)
    assert [each["session_version"] for each in await database.events()] == [2, 3]
    assert await database.outbox() == [event_id_of(start), event_id_of(failure)]


async def test_ends_one_session_of_a_user_and_starts_the_next_in_either_order(
    units: Database, database: TestDatabase
) -> None:
    """The index that allows one session in progress is checked row by row."""
    for size in (0, 1):
        running = await database.a_session()
        planned = await database.a_session(user_id=running.user_id, status=SessionStatus.PLANNED)
        change = [
            applied(a_command(running, CompleteSession), running),
            applied(a_command(planned, StartSession), planned),
        ]

        await write(units, *change[size:], *change[:size])

        assert (await database.row(running))["status"] == "completed"
        assert (await database.row(planned))["status"] == "in_progress"


async def test_keeps_sets_with_and_without_gaps(units: Database, database: TestDatabase) -> None:
    sets = [(), (None,), (1, 1000), (12, None, 10)]
    sessions = [await database.a_session(sets=each) for each in sets]

    await write(units, *map(a_failure, sessions))

    assert [tuple((await database.row(session))["sets"]) for session in sessions] == sets


async def test_writes_nothing_if_one_session_has_another_version_than_was_read(
    units: Database, database: TestDatabase
) -> None:
    sessions = [await database.a_session() for _ in range(3)]
    changed = sessions[1]
    await database.execute("UPDATE sessions SET version = 9 WHERE id = $1", changed.id)

    with pytest.raises(Contended):
        async with open_unit_of_work(units, users_of(*sessions)) as work:
            await work.save([a_failure(session) for session in sessions])

    assert {(await database.row(each))["status"] for each in sessions} == {"in_progress"}
    assert await database.events() == await database.outbox() == []


async def test_refuses_a_new_session_whose_id_exists(
    units: Database, database: TestDatabase
) -> None:
    session = await database.a_session()

    with pytest.raises(Contended):
        await write(units, applied(a_command(session, PlanSession)))

    assert (await database.row(session))["status"] == "in_progress"


async def test_refuses_a_second_session_in_progress(
    units: Database, database: TestDatabase
) -> None:
    running = await database.a_session()
    planned = await database.a_session(user_id=running.user_id, status=SessionStatus.PLANNED)

    with pytest.raises(Contended):
        await write(units, applied(a_command(planned, StartSession), planned))

    assert (await database.row(planned))["status"] == "planned"


async def test_refuses_an_idempotency_key_that_the_user_has_used(
    units: Database, database: TestDatabase
) -> None:
    first = await database.a_session()
    second = await database.a_session(user_id=first.user_id, status=SessionStatus.PLANNED)
    running = copy(second)
    running.status, running.started_at = SessionStatus.IN_PROGRESS, MORNING

    with pytest.raises(Contended):
        await write(units, *(a_failure(each, idempotency_key="k") for each in (first, running)))

    assert await database.events() == []


async def test_writes_nothing_for_other_users_than_the_acting_ones(
    units: Database, database: TestDatabase
) -> None:
    theirs = await database.a_session()
    for change in (a_failure(theirs), applied(a_command(a_session(), PlanSession))):
        with pytest.raises(DependencyUnavailable) as refused:
            async with open_unit_of_work(units, frozenset({uuid4()})) as work:
                await work.save([change])
        assert "row-level security" in refused.value.cause

    assert (await database.row(theirs))["status"] == "in_progress"
    assert await database.events() == []


async def test_a_value_that_the_driver_refuses_is_not_written(
    units: Database, database: TestDatabase
) -> None:
    session = await database.a_session()

    with pytest.raises(DBAPIError):
        await write(units, a_failure(replace(session, version=2**31 - 1)))

    assert (await database.row(session))["status"] == "in_progress"


async def test_the_number_of_statements_does_not_depend_on_the_size_of_the_group(
    units: Database, statements: list[str], database: TestDatabase
) -> None:
    await write(units, a_failure(await database.a_session()))  # which opens the connection
    await asyncio.sleep(0)
    for size in (1, 100):
        sessions = [a_session() for _ in range(size)]
        await database.insert(*sessions)
        statements.clear()

        await write(units, *map(a_failure, sessions))

        await asyncio.sleep(0)  # the driver logs COMMIT in the next turn of the loop
        kinds = sorted(each.split()[0] for each in statements)
        assert kinds == ["BEGIN;", "COMMIT;", "SELECT", "WITH"]

    assert len(await database.outbox()) == 102


async def test_locking_users_adds_one_statement(
    units: Database, statements: list[str], database: TestDatabase
) -> None:
    planned = [await database.a_session(status=SessionStatus.PLANNED) for _ in range(10)]
    await write(units, applied(a_command(None, PlanSession)))  # which opens the connection
    await asyncio.sleep(0)
    statements.clear()

    await write(units, *(applied(a_command(each, StartSession), each) for each in planned))

    await asyncio.sleep(0)
    assert len(statements) == 5

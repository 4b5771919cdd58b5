# SPDX-License-Identifier: MIT
"""The service is killed during many requests: each is executed completely or not at all."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import httpx2
import pytest

from service.domain.session import Session
from tests.builders import a_session
from tests.running import App, TestDatabase, eventually
from tests.system.processes import LONG_TIME_LIMITS, Process, a_service

SESSIONS = 200
EVENTS_BEFORE_THE_GATE = 40

UNTOUCHED = ("in_progress", 1, 0, 0)
FAILED = ("failed", 2, 1, 1)


@pytest.mark.parametrize("answers", [1, 20, 30])
async def test_each_session_is_failed_with_its_event_or_untouched_after_a_kill(
    database: TestDatabase, answers: int
) -> None:
    sessions = [a_session() for _ in range(SESSIONS)]
    await database.insert(*sessions)

    async with _gate(database):
        settings = LONG_TIME_LIMITS | {"group_size_max": "4"}
        async with a_service(database.api_url, **settings) as (process, app):
            answered = await _fail_until_killed(sessions, process, app, answers=answers)
    await eventually(lambda: _nobody_is_connected(database))

    ends = await _ends(database)
    assert set(ends.values()) == {UNTOUCHED, FAILED}
    assert answers <= len(answered) < SESSIONS
    assert {ends[session_id] for session_id in answered} == {FAILED}


async def _fail_until_killed(
    sessions: list[Session], process: Process, app: App, *, answers: int
) -> set[UUID]:
    """The sessions that were answered with 200: `answers`, and what was on its way then."""
    answered = set()

    async def fail(session: Session) -> None:
        try:
            response = await app.fail(session, reason="shoulder pain")
        except httpx2.TransportError:
            return
        assert response.status_code == 200
        answered.add(session.id)
        if len(answered) == answers:
            process.signal(signal.SIGKILL)

    await asyncio.gather(*(fail(session) for session in sessions))
    return answered


@asynccontextmanager
async def _gate(database: TestDatabase) -> AsyncIterator[None]:
    """Lets some inserts of events pass and blocks the others inside their transactions.

    So the kill always comes in the middle, however fast the machine is.
    """
    await database.execute("CREATE SEQUENCE turns")
    await database.execute(f"""
        CREATE FUNCTION wait_at_gate() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
        BEGIN
            IF nextval('turns') > {EVENTS_BEFORE_THE_GATE} THEN
                PERFORM pg_advisory_xact_lock_shared(1);
            END IF;
            RETURN NEW;
        END $$
    """)
    await database.execute(
        "CREATE TRIGGER gate BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION wait_at_gate()"
    )
    async with database.connection.transaction():
        await database.execute("SELECT pg_advisory_xact_lock(1)")
        yield


async def _nobody_is_connected(database: TestDatabase) -> bool:
    return not await database.value(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        " AND backend_type = 'client backend'"
    )


async def _ends(database: TestDatabase) -> dict[UUID, tuple[str, int, int, int]]:
    """Of each session: status, version, number of events, number of outbox rows."""
    rows = await database.fetch("""
        SELECT sessions.id, status, version, count(DISTINCT events.id), count(position) AS queued
        FROM sessions
        LEFT JOIN events ON events.session_id = sessions.id
        LEFT JOIN outbox ON outbox.event_id = events.id
        GROUP BY sessions.user_id, sessions.id
    """)
    return {row["id"]: (row["status"], row["version"], row["count"], row["queued"]) for row in rows}

# SPDX-License-Identifier: MIT
"""A database without the migrations, or with those of another version, is named as such."""

from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from service.application.errors import DependencyUnavailable, WrongInstallation
from service.application.ports import FindSession, ReadHistory
from service.domain.session import Session
from service.persistence.database import Database
from service.persistence.outbox import Outbox
from tests.logins import Gate
from tests.persistence.conftest import LIMITS
from tests.persistence.transacting import a_failure, raise_on_insert, users_of, write
from tests.running import TestDatabase, an_engine

Use = Callable[[Database, Session], Awaitable[object]]


async def fail(database: Database, session: Session) -> None:
    await write(database, a_failure(session))


async def read(database: Database, session: Session) -> None:
    wanted = FindSession(session.user_id, session.id)
    await database.run_read(users_of(session), lambda reader: reader.find([wanted]))


async def list_events(database: Database, session: Session) -> None:
    wanted = ReadHistory(session.user_id, session.id, after=0, rows_max=9)
    await database.run_read(users_of(session), lambda reader: reader.histories([wanted]))


MISSING = [
    (
        "ALTER TABLE sessions RENAME TO trainings",
        read,
        'relation "sessions" does not exist (42P01)',
    ),
    ("DROP TABLE outbox", fail, 'relation "outbox" does not exist (42P01)'),
    ("ALTER TABLE events RENAME TO facts", list_events, 'relation "events" does not exist (42P01)'),
    (
        "ALTER TABLE sessions DROP COLUMN notes",
        read,
        "column sessions.notes does not exist (42703)",
    ),
    (
        "ALTER TABLE events RENAME COLUMN traceparent TO parent",
        fail,
        'column "traceparent" of relation "events" does not exist (42703)',
    ),
    (
        "REVOKE SELECT ON sessions FROM session_service",
        read,
        "permission denied for table sessions",
    ),
    ("REVOKE INSERT ON events FROM session_service", fail, "permission denied for table events"),
    (
        "REVOKE ALL ON FUNCTION service_acting_users() FROM session_service",
        read,
        "permission denied for function service_acting_users (42501)",
    ),
    (
        "REVOKE USAGE ON SCHEMA public FROM PUBLIC",
        read,
        'relation "sessions" does not exist (42P01)',
    ),
    (
        "DROP POLICY service_acts_for_users ON outbox",
        fail,
        'new row violates row-level security policy for table "outbox" (42501)',
    ),
    (
        "ALTER TABLE sessions DROP CONSTRAINT sessions_pkey CASCADE",
        fail,
        "there is no unique or exclusion constraint matching the ON CONFLICT specification (42P10)",
    ),
]
OF_ANOTHER_VERSION = [
    (
        "ALTER TABLE events ADD COLUMN mood text NOT NULL",
        fail,
        'null value in column "mood" of relation "events" violates not-null constraint (23502)',
    ),
    (
        "ALTER TABLE events ALTER COLUMN request_id TYPE bytea USING 'x'",
        fail,
        'column "request_id" is of type bytea but expression is of type text (42804)',
    ),
]


@pytest.mark.parametrize(("statement", "use", "cause"), MISSING + OF_ANOTHER_VERSION)
async def test_names_what_is_missing_or_different(
    engine: AsyncEngine, database: TestDatabase, statement: str, use: Use, cause: str
) -> None:
    session = await database.a_session()
    await database.execute(statement)

    with pytest.raises(WrongInstallation) as refused:
        await use(Database(engine, LIMITS), session)

    assert refused.value.cause.startswith(cause)
    assert "run `migrate` of this version" in refused.value.cause


@pytest.mark.parametrize("use", [fail, read])
async def test_names_a_missing_role(gate: Gate, database: TestDatabase, use: Use) -> None:
    session = await database.a_session()
    async with an_engine(gate.url()) as engine:
        with pytest.raises(WrongInstallation) as refused:
            await use(Database(engine, LIMITS), session)

    assert refused.value.cause.startswith('role "session_service" does not exist (22023)')


@pytest.mark.parametrize("use", [fail, read, list_events])
async def test_works_again_when_the_object_is_there_again(
    engine: AsyncEngine, database: TestDatabase, use: Use
) -> None:
    """The connection has prepared its statements before."""
    session, units = await database.a_session(), Database(engine, LIMITS)
    await read(units, session)
    await list_events(units, session)
    await database.execute("ALTER TABLE sessions RENAME COLUMN notes TO remarks")
    await database.execute("ALTER TABLE events RENAME TO facts")
    with pytest.raises(WrongInstallation):
        await use(units, session)

    await database.execute("ALTER TABLE sessions RENAME COLUMN remarks TO notes")
    await database.execute("ALTER TABLE facts RENAME TO events")

    await use(units, session)


async def test_the_relay_names_what_is_missing(database: TestDatabase) -> None:
    await database.execute("ALTER TABLE parked_events RENAME TO lot")
    async with an_engine(database.relay_url) as engine:
        outbox = Outbox(engine, lease=1, statement_timeout=5)
        with pytest.raises(WrongInstallation) as refused:
            await outbox.parked()

    assert refused.value.cause.startswith('relation "parked_events" does not exist (42P01)')


@pytest.mark.parametrize("error", ["undefined_table", "insufficient_privilege", "disk_full"])
async def test_repeats_no_words_of_a_trigger(
    engine: AsyncEngine, database: TestDatabase, error: str
) -> None:
    """They may quote a row."""
    session = await database.a_session()
    await raise_on_insert(database, f"'no room for %', NEW.event_data USING ERRCODE = '{error}'")

    with pytest.raises(DependencyUnavailable) as refused:
        await fail(Database(engine, LIMITS), session)

    assert "knee" not in refused.value.cause
    assert "room" not in refused.value.cause

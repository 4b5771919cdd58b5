# SPDX-License-Identifier: MIT
"""Commands applied and saved as a group does it, one step at a time."""

from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from service.application.command import Command, CommandContext
from service.application.ports import AppliedCommand, LoadedCommand, LoadRequest
from service.domain.session import Session
from service.domain.text import Reason
from service.persistence.database import Database
from service.persistence.unit_of_work import SqlUnitOfWork
from tests.builders import A_MINUTE, MORNING, a_command
from tests.persistence.stepping import Steps
from tests.running import TestDatabase

LATER = MORNING + A_MINUTE
KILL_CONNECTIONS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


def applied(command: Command, session: Session | None = None) -> AppliedCommand:
    """The command applied to the session, which stays as it is."""
    after, events = command.apply(session, CommandContext(at=LATER))
    return AppliedCommand(
        command=command, session=after, events=tuple((uuid7(), event) for event in events)
    )


def a_failure(session: Session, **overrides: Any) -> AppliedCommand:
    return applied(a_command(session, reason=Reason("knee hurts"), **overrides), session)


def event_id_of(change: AppliedCommand) -> UUID:
    [(event_id, _)] = change.events
    return event_id


def users_of(*sessions: Session) -> frozenset[UUID]:
    return frozenset(session.user_id for session in sessions)


async def load(work: Steps, *commands: Command) -> list[LoadedCommand]:
    loaded: list[LoadedCommand] = await work.load([LoadRequest(command=each) for each in commands])
    return loaded


async def write(database: Database, *changes: AppliedCommand) -> None:
    """Loads, saves and commits in one transaction."""

    def work(opened: SqlUnitOfWork) -> None:
        opened.load([LoadRequest(command=each.command) for each in changes])
        opened.save(changes)
        opened.commit()

    await database.run_unit_of_work(users_of(*(each.session for each in changes)), work)


async def raise_on_insert(database: TestDatabase, failure: str, *, at_commit: bool = False) -> None:
    """`failure`: the name of an error of PostgreSQL, or SQLSTATE and its code."""
    await run_on_insert(database, f"RAISE {failure}", at_commit=at_commit)


async def run_on_insert(database: TestDatabase, statement: str, *, at_commit: bool) -> None:
    """Each event that is inserted runs the statement of PL/pgSQL, as a superuser."""
    await database.execute(f"""
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
            $$ BEGIN {statement}; RETURN NULL; END $$
    """)
    await database.execute(
        "CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON events DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION refuse()"
        if at_commit
        else "CREATE TRIGGER refuse BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION refuse()"
    )

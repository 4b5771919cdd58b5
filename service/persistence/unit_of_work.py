"""What a group does in the database: two calls of functions, which a migration makes.

Each becomes the service by itself, and the second commits. docs/decisions/two-round-trips.md.
"""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

import asyncpg

from service.application.commands import Command, SessionKey
from service.application.ports import Asked, Change, Found
from service.persistence.errors import translated_commit
from service.persistence.events import happened, to_memory
from service.persistence.sessions import changed, to_session
from service.persistence.statements import Connection

LOOK = "SELECT * FROM service_look($1, $2)"
WRITE = "SELECT service_write($1, $2, $3, $4)"


class SqlUnitOfWork:
    """Who claims a user is saved only if nothing has happened to the user since the last look."""

    def __init__(self, connection: Connection, acting_users: Collection[UUID]) -> None:
        self._connection = connection
        self._acting_users = list(acting_users)
        self._last_events: dict[UUID, UUID | None] = {}

    async def look(self, asked: Sequence[Asked]) -> list[Found]:
        rows = await self._connection.fetch(LOOK, self._acting_users, list(map(_asked_row, asked)))
        met = [(each.command, row) for each, row in zip(asked, rows, strict=True)]
        self._last_events |= {
            command.user_id: row["last_event"] for command, row in met if command.claims_user
        }
        return [_found(command, row) for command, row in met]

    async def save(self, changes: Sequence[Change]) -> set[SessionKey]:
        sessions = changed(changes)
        places = {key: place for place, key in enumerate(sessions, start=1)}
        placed = [(change, places[change.command.session_key]) for change in changes]
        events = [row for change, place in placed for row in happened(change, place)]
        claims = {
            place: (place, change.session.user_id, self._last_events[change.session.user_id])
            for change, place in placed
            if change.command.claims_user
        }
        with translated_commit():
            left_out = await self._connection.fetchval(
                WRITE, self._acting_users, list(sessions.values()), events, list(claims.values())
            )
            if self._connection.is_in_transaction():
                await self._connection.execute("COMMIT")
        keys = list(sessions)
        return {keys[place - 1] for place in left_out}


def _asked_row(asked: Asked) -> tuple[Any, ...]:
    command = asked.command
    return (
        command.user_id,
        command.session_id,
        command.idempotency_key,
        command.claims_user,
        asked.lost_event,
    )


def _found(command: Command, row: asyncpg.Record) -> Found:
    has_memory = row["command_fingerprint"] is not None
    return Found(
        session=to_session(command.user_id, row) if row["id"] else None,
        memory=to_memory(command.user_id, row) if has_memory else None,
        active_session_id=row["active_session"],
        recorded_at=row["recorded_at"],
    )

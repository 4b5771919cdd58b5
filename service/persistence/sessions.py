"""Rows of `sessions` <-> Session, many at a time."""

from collections.abc import Collection, Sequence
from typing import Any

import asyncpg
from sqlalchemy import (
    CTE,
    Column,
    DateTime,
    Integer,
    SmallInteger,
    Text,
    Uuid,
    and_,
    bindparam,
    cast,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY

from service.application.commands import SessionKey
from service.application.ports import Change
from service.domain.session import Session, SessionStatus
from service.persistence.statements import Connection, Statement
from service.persistence.tables import sessions
from service.persistence.unnest import parameters, rows_given_as

_wanted = rows_given_as("wanted", Column("user_id", Uuid), Column("id", Uuid))
_is_wanted = and_(sessions.c.user_id == _wanted.c.user_id, sessions.c.id == _wanted.c.id)

_FIND = Statement(
    select(sessions).where(
        sessions.c.user_id == bindparam("user_id"), sessions.c.id == bindparam("id")
    )
)
_EXISTING = Statement(
    select(sessions.c.user_id, sessions.c.id).join_from(sessions, _wanted, _is_wanted)
)
_LOCK = Statement(
    select(sessions)
    .join_from(sessions, _wanted, _is_wanted)
    .with_for_update(key_share=True, of=sessions, skip_locked=True)
)

_changed = rows_given_as(
    "changed",
    Column("user_id", Uuid),
    Column("id", Uuid),
    Column("read_version", Integer),
    Column("status", Text),
    Column("sets", Text),
    Column("rpe", SmallInteger),
    Column("version", Integer),
    Column("updated_at", DateTime(timezone=True)),
)


def updated() -> CTE:
    """Updates each session that still is as it was read; parameters: `update_parameters`."""
    return (
        update(sessions)
        .values(
            status=_changed.c.status,
            sets=cast(_changed.c.sets, ARRAY(SmallInteger)),
            rpe=_changed.c.rpe,
            version=_changed.c.version,
            updated_at=_changed.c.updated_at,
        )
        .where(
            sessions.c.user_id == _changed.c.user_id,
            sessions.c.id == _changed.c.id,
            sessions.c.version == _changed.c.read_version,
        )
        .returning(sessions.c.id)
        .cte("updated")
    )


def update_parameters(changes: Sequence[Change]) -> tuple[dict[str, Any], int]:
    """The parameters of `updated`, and the number of sessions that it has to update.

    A session that changed more than once is written once, as it was in the end.
    """
    read_versions: dict[SessionKey, int] = {}
    last: dict[SessionKey, Session] = {}
    for change in changes:
        key = change.command.session_key
        read_versions.setdefault(key, change.event.session_version - 1)
        last[key] = change.session
    rows = [
        (
            session.user_id,
            session.id,
            read_versions[key],
            session.status,
            _array_literal(session.sets),
            session.rpe,
            session.version,
            session.updated_at,
        )
        for key, session in last.items()
    ]
    return parameters(_changed, rows), len(rows)


def _array_literal(sets: Sequence[int | None]) -> str:
    """As PostgreSQL writes arrays: an array of arrays would have to be rectangular."""
    return "{" + ",".join("NULL" if reps is None else str(reps) for reps in sets) + "}"


class SqlSessions:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def find(self, key: SessionKey) -> Session | None:
        user_id, session_id = key
        rows = await _FIND.rows(self._connection, {"user_id": user_id, "id": session_id})
        return _to_session(rows[0]) if rows else None

    async def lock(self, keys: Collection[SessionKey]) -> dict[SessionKey, Session]:
        rows = await _LOCK.rows(self._connection, parameters(_wanted, keys))
        found = [_to_session(row) for row in rows]
        return {(session.user_id, session.id): session for session in found}

    async def existing(self, keys: Collection[SessionKey]) -> set[SessionKey]:
        rows = await _EXISTING.rows(self._connection, parameters(_wanted, keys))
        return {(row["user_id"], row["id"]) for row in rows}


def _to_session(row: asyncpg.Record) -> Session:
    return Session(
        user_id=row["user_id"],
        id=row["id"],
        status=SessionStatus(row["status"]),
        session_date=row["session_date"],
        sets=tuple(row["sets"]),
        rpe=row["rpe"],
        notes=row["notes"],
        version=row["version"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )

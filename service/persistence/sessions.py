"""Rows of `sessions` <-> Session, many at a time."""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

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
    cast,
    func,
    insert,
    literal_column,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY

from service.application.commands import SessionKey
from service.application.ports import Change
from service.domain.session import Session, SessionStatus
from service.persistence.statements import Connection, Statement
from service.persistence.tables import sessions
from service.persistence.unnest import found_one_by_one, parameters, rows_given_as

_CLAIMS = 1_395_864_371
"""Keeps claims on users apart from other advisory locks of two numbers; any number would do."""

_wanted = rows_given_as("wanted", Column("user_id", Uuid), Column("id", Uuid))
_is_wanted = and_(sessions.c.user_id == _wanted.c.user_id, sessions.c.id == _wanted.c.id)

_EXISTING = Statement(
    found_one_by_one(_wanted, select(sessions.c.user_id, sessions.c.id).where(_is_wanted))
)
_LOCK = Statement(
    found_one_by_one(
        _wanted,
        select(sessions).where(_is_wanted).with_for_update(key_share=True, skip_locked=True),
    )
)

_users = rows_given_as("users", Column("user_id", Uuid))
_CLAIM = Statement(
    select(
        _users.c.user_id,
        func.pg_try_advisory_xact_lock(
            literal_column(str(_CLAIMS)), func.hashtext(cast(_users.c.user_id, Text))
        ).label("is_claimed"),
    )
)
_ACTIVE = Statement(
    found_one_by_one(
        _users,
        select(sessions.c.user_id, sessions.c.id).where(
            sessions.c.user_id == _users.c.user_id,
            sessions.c.status == literal_column(f"'{SessionStatus.IN_PROGRESS}'"),
        ),
    )
)

_created = rows_given_as(
    "created",
    Column("user_id", Uuid),
    Column("id", Uuid),
    Column("status", Text),
    Column("session_date", DateTime(timezone=True)),
    Column("sets", Text),
    Column("notes", Text),
    Column("version", Integer),
    Column("created_at", DateTime(timezone=True)),
    Column("updated_at", DateTime(timezone=True)),
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
    """Updates each session that still is as it was read; parameters: `write_parameters`."""
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


def created() -> CTE:
    """Inserts sessions; parameters: `write_parameters`."""
    columns = [each for each in _created.c if each.name != "place"]
    values = [cast(each, ARRAY(SmallInteger)) if each.name == "sets" else each for each in columns]
    return (
        insert(sessions)
        .from_select([each.name for each in columns], select(*values))
        .returning(sessions.c.id)
        .cte("created_sessions")
    )


def write_parameters(changes: Sequence[Change]) -> tuple[dict[str, Any], int]:
    """The parameters of `created` and `updated`, and the number of sessions that they write.

    A session that changed more than once is written once, as it was in the end.
    """
    read_versions: dict[SessionKey, int] = {}
    last: dict[SessionKey, Session] = {}
    for change in changes:
        key = change.command.session_key
        read_versions.setdefault(key, change.read_version)
        last[key] = change.session
    new = [_new_row(session) for key, session in last.items() if not read_versions[key]]
    old = [_row(session, read_versions[key]) for key, session in last.items() if read_versions[key]]
    return parameters(_created, new) | parameters(_changed, old), len(last)


def _new_row(session: Session) -> tuple[Any, ...]:
    return (
        session.user_id,
        session.id,
        session.status,
        session.session_date,
        _array_literal(session.sets),
        session.notes,
        session.version,
        session.created_at,
        session.updated_at,
    )


def _row(session: Session, read_version: int) -> tuple[Any, ...]:
    return (
        session.user_id,
        session.id,
        read_version,
        session.status,
        _array_literal(session.sets),
        session.rpe,
        session.version,
        session.updated_at,
    )


def _parameters_of_users(users: Collection[UUID]) -> dict[str, Any]:
    return parameters(_users, [(user_id,) for user_id in users])


def _array_literal(sets: Sequence[int | None]) -> str:
    """As PostgreSQL writes arrays: an array of arrays would have to be rectangular."""
    return "{" + ",".join("NULL" if reps is None else str(reps) for reps in sets) + "}"


class SqlSessions:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def claim(self, users: Collection[UUID]) -> set[UUID]:
        rows = await _CLAIM.rows(self._connection, _parameters_of_users(users))
        return {row["user_id"] for row in rows if row["is_claimed"]}

    async def active(self, users: Collection[UUID]) -> dict[UUID, UUID]:
        rows = await _ACTIVE.rows(self._connection, _parameters_of_users(users))
        return {row["user_id"]: row["id"] for row in rows}

    async def lock(self, keys: Collection[SessionKey]) -> dict[SessionKey, Session]:
        rows = await _LOCK.rows(self._connection, parameters(_wanted, keys))
        found = [to_session(row) for row in rows]
        return {(session.user_id, session.id): session for session in found}

    async def existing(self, keys: Collection[SessionKey]) -> set[SessionKey]:
        rows = await _EXISTING.rows(self._connection, parameters(_wanted, keys))
        return {(row["user_id"], row["id"]) for row in rows}


def to_session(row: asyncpg.Record) -> Session:
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

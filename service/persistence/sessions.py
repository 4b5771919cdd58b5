"""Rows of `sessions` -> Session; sessions -> what `service_write` takes."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import asyncpg

from service.application.commands import SessionKey
from service.application.ports import Change
from service.domain.session import Session, SessionStatus


def to_session(user_id: UUID, row: asyncpg.Record) -> Session:
    return Session(
        user_id=user_id,
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


def changed(changes: Sequence[Change]) -> dict[SessionKey, tuple[Any, ...]]:
    """Rows of the type `service_change`.

    A session that changed more than once is written once, as it was in the end.
    """
    read_versions: dict[SessionKey, int] = {}
    last: dict[SessionKey, Session] = {}
    for change in changes:
        key = change.command.session_key
        read_versions.setdefault(key, change.read_version)
        last[key] = change.session
    return {key: _row(session, read_versions[key]) for key, session in last.items()}


def _row(session: Session, read_version: int) -> tuple[Any, ...]:
    return (
        session.user_id,
        session.id,
        read_version,
        session.status,
        session.session_date,
        session.sets,
        session.rpe,
        session.notes,
        session.version,
        session.created_at,
        session.updated_at,
    )

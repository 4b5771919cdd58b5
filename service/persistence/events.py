"""Events -> what `service_write` takes; what idempotency keys stand for, to rows and back."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from service.application.ports import Change, Memory
from service.domain.events import SessionEvent
from service.domain.session import Session, SessionStatus

_NOT_KEYED = (None, None, None)


def happened(change: Change, place: int) -> Iterator[tuple[Any, ...]]:
    """Rows of the type `service_event`; the first remembers the command.

    `place`, from 1, is that of the row of the session's change.
    """
    (first_id, first), *others = change.events
    keyed = change.command.idempotency_key is not None
    yield _row(change, place, first_id, first, _memory(change) if keyed else _NOT_KEYED)
    for event_id, event in others:
        yield _row(change, place, event_id, event, _NOT_KEYED)


def _memory(change: Change) -> tuple[Any, ...]:
    command = change.command
    return command.idempotency_key, command.fingerprint(), _snapshot(change.session)


def _row(
    change: Change, place: int, event_id: UUID, event: SessionEvent, memory: tuple[Any, ...]
) -> tuple[Any, ...]:
    return (
        place,
        event.user_id,
        event_id,
        event.session_id,
        event.session_version,
        event.type,
        orjson.dumps(event.data()).decode(),
        event.occurred_at,
        change.command.request_id,
        *memory,
        change.command.traceparent,
    )


def to_memory(user_id: UUID, row: asyncpg.Record) -> Memory:
    session = _from_snapshot(user_id, orjson.loads(row["session_snapshot"]))
    return Memory(fingerprint=row["command_fingerprint"], session=session)


def _snapshot(session: Session) -> str:
    return orjson.dumps(
        {
            "id": str(session.id),
            "status": session.status,
            "session_date": session.session_date.isoformat(),
            "sets": session.sets,
            "rpe": session.rpe,
            "notes": session.notes,
            "version": session.version,
            "created_at": session.created_at.isoformat(),
            "updated_at": session.updated_at.isoformat(),
        }
    ).decode()


def _from_snapshot(user_id: UUID, snapshot: dict[str, Any]) -> Session:
    return Session(
        user_id=user_id,
        id=UUID(snapshot["id"]),
        status=SessionStatus(snapshot["status"]),
        session_date=datetime.fromisoformat(snapshot["session_date"]),
        sets=tuple(snapshot["sets"]),
        rpe=snapshot["rpe"],
        notes=snapshot["notes"],
        version=snapshot["version"],
        created_at=datetime.fromisoformat(snapshot["created_at"]),
        updated_at=datetime.fromisoformat(snapshot["updated_at"]),
    )

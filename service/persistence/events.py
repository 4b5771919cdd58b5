"""Events -> rows of `events` and `outbox`; what idempotency keys stand for, back from them."""

import json
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CTE,
    Column,
    DateTime,
    Integer,
    LargeBinary,
    Text,
    Uuid,
    and_,
    cast,
    insert,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from service.application.commands import MemoryKey
from service.application.ports import Change, EventKey, Memory
from service.domain.session import Session, SessionStatus
from service.persistence.tables import events, outbox
from service.persistence.unnest import parameters, rows_given_as

_recorded = rows_given_as(
    "recorded",
    Column("user_id", Uuid),
    Column("id", Uuid),
    Column("session_id", Uuid),
    Column("session_version", Integer),
    Column("event_type", Text),
    Column("event_data", Text),
    Column("occurred_at", DateTime(timezone=True)),
    Column("request_id", Text),
    Column("idempotency_key", Text),
    Column("command_fingerprint", LargeBinary),
    Column("session_snapshot", Text),
    Column("traceparent", Text),
)
_sought = rows_given_as("sought", Column("user_id", Uuid), Column("id", Uuid))
_used = rows_given_as("used", Column("user_id", Uuid), Column("idempotency_key", Text))

_REMEMBERED = select(
    events.c.user_id,
    events.c.idempotency_key,
    events.c.command_fingerprint,
    events.c.session_snapshot,
).join_from(
    events,
    _used,
    and_(
        events.c.user_id == _used.c.user_id,
        events.c.idempotency_key == _used.c.idempotency_key,
    ),
)
_RECORDED = select(events.c.id).join_from(
    events, _sought, and_(events.c.user_id == _sought.c.user_id, events.c.id == _sought.c.id)
)


def inserted() -> CTE:
    """Appends events; parameters: `insert_parameters`."""
    as_json = {"event_data", "session_snapshot"}
    values = [cast(each, JSONB) if each.name in as_json else each for each in _columns()]
    names = [each.name for each in _columns()]
    return insert(events).from_select(names, select(*values)).cte("inserted")


def queued() -> CTE:
    """Queues the same events for the relay, in the order in which they happened."""
    in_order = select(_recorded.c.user_id, _recorded.c.id).order_by(_recorded.c.place)
    return insert(outbox).from_select(["user_id", "event_id"], in_order).cte("queued")


def _columns() -> list[Any]:
    return [each for each in _recorded.c if each.name != "place"]


def insert_parameters(changes: Sequence[Change]) -> dict[str, Any]:
    return parameters(_recorded, [_row(change) for change in changes])


def _row(change: Change) -> tuple[Any, ...]:
    event, command = change.event, change.command
    keyed = command.idempotency_key is not None
    return (
        event.user_id,
        change.event_id,
        event.session_id,
        event.session_version,
        event.type,
        json.dumps(event.data(), ensure_ascii=False),
        event.occurred_at,
        command.request_id,
        command.idempotency_key,
        command.fingerprint() if keyed else None,
        _snapshot(change.session) if keyed else None,
        command.traceparent,
    )


class SqlEvents:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def remembered(self, keys: Collection[MemoryKey]) -> dict[MemoryKey, Memory]:
        rows = await self._connection.execute(_REMEMBERED, parameters(_used, keys))
        return {
            (row.user_id, row.idempotency_key): Memory(
                fingerprint=row.command_fingerprint,
                session=_from_snapshot(row.user_id, row.session_snapshot),
            )
            for row in rows
        }

    async def recorded(self, keys: Collection[EventKey]) -> set[UUID]:
        return set(await self._connection.scalars(_RECORDED, parameters(_sought, keys)))


def _snapshot(session: Session) -> str:
    return json.dumps(
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
        },
        ensure_ascii=False,
    )


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

"""Events -> rows of `events` and `outbox`; what idempotency keys stand for, back from them."""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson
from sqlalchemy import (
    CTE,
    Column,
    DateTime,
    Integer,
    LargeBinary,
    Text,
    Uuid,
    cast,
    insert,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB

from service.application.commands import MemoryKey
from service.application.ports import Change, EventKey, Memory
from service.domain.events import SessionEvent
from service.domain.session import Session, SessionStatus
from service.persistence.statements import Connection, Statement
from service.persistence.tables import events, outbox
from service.persistence.unnest import found_one_by_one, parameters, rows_given_as

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
_in_order = rows_given_as("queued", Column("user_id", Uuid), Column("event_id", Uuid))
_sought = rows_given_as("sought", Column("user_id", Uuid), Column("id", Uuid))
_used = rows_given_as("used", Column("user_id", Uuid), Column("idempotency_key", Text))

_REMEMBERED = Statement(
    found_one_by_one(
        _used,
        select(
            events.c.user_id,
            events.c.idempotency_key,
            events.c.command_fingerprint,
            events.c.session_snapshot,
        ).where(
            events.c.user_id == _used.c.user_id, events.c.idempotency_key == _used.c.idempotency_key
        ),
    )
)
_RECORDED = Statement(
    found_one_by_one(
        _sought,
        select(events.c.id).where(
            events.c.user_id == _sought.c.user_id, events.c.id == _sought.c.id
        ),
    )
)


def inserted() -> CTE:
    """Appends events; parameters: `insert_parameters`."""
    as_json = {"event_data", "session_snapshot"}
    values = [cast(each, JSONB) if each.name in as_json else each for each in _columns()]
    names = [each.name for each in _columns()]
    return insert(events).from_select(names, select(*values)).cte("inserted")


def queued() -> CTE:
    """Queues the same events for the relay, in the order in which they happened."""
    in_order = select(_in_order.c.user_id, _in_order.c.event_id).order_by(_in_order.c.place)
    return insert(outbox).from_select(["user_id", "event_id"], in_order).cte("queued")


def _columns() -> list[Any]:
    return [each for each in _recorded.c if each.name != "place"]


def insert_parameters(changes: Sequence[Change]) -> dict[str, Any]:
    rows = [row for change in changes for row in _rows(change)]
    keys = [(change.session.user_id, each) for change in changes for each, _ in change.events]
    return parameters(_recorded, rows) | parameters(_in_order, keys)


_NOT_KEYED = (None, None, None)


def _rows(change: Change) -> Iterator[tuple[Any, ...]]:
    """The first event remembers the command."""
    (first_id, first), *others = change.events
    keyed = change.command.idempotency_key is not None
    yield _row(change, first_id, first, _memory(change) if keyed else _NOT_KEYED)
    for event_id, event in others:
        yield _row(change, event_id, event, _NOT_KEYED)


def _memory(change: Change) -> tuple[Any, ...]:
    command = change.command
    return command.idempotency_key, command.fingerprint(), _snapshot(change.session)


def _row(
    change: Change, event_id: UUID, event: SessionEvent, memory: tuple[Any, ...]
) -> tuple[Any, ...]:
    return (
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


class SqlEvents:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def remembered(self, keys: Collection[MemoryKey]) -> dict[MemoryKey, Memory]:
        rows = await _REMEMBERED.rows(self._connection, parameters(_used, keys))
        return {(row["user_id"], row["idempotency_key"]): _to_memory(row) for row in rows}

    async def recorded(self, keys: Collection[EventKey]) -> set[UUID]:
        rows = await _RECORDED.rows(self._connection, parameters(_sought, keys))
        return {row["id"] for row in rows}


def _to_memory(row: asyncpg.Record) -> Memory:
    session = _from_snapshot(row["user_id"], orjson.loads(row["session_snapshot"]))
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

# SPDX-License-Identifier: MIT
"""Events -> rows of `events` and `outbox`; idempotency records <-> columns of `events`."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from service.application.ports import AppliedCommand, IdempotencyRecord
from service.domain.session import Session, SessionStatus
from service.persistence.tables import events, outbox
from service.persistence.unnest import given_columns, parameters, rows_given_as

_appended = rows_given_as(
    "appended",
    sa.Column("user_id", sa.Uuid),
    sa.Column("id", sa.Uuid),
    sa.Column("session_id", sa.Uuid),
    sa.Column("session_version", sa.Integer),
    sa.Column("event_type", sa.Text),
    sa.Column("event_data", sa.Text),
    sa.Column("occurred_at", sa.DateTime(timezone=True)),
    sa.Column("request_id", sa.Text),
    sa.Column("idempotency_key", sa.Text),
    sa.Column("command_fingerprint", sa.LargeBinary),
    sa.Column("session_snapshot", sa.Text),
    sa.Column("traceparent", sa.Text),
)
_queued = rows_given_as(
    "appended", sa.Column("user_id", sa.Uuid), sa.Column("id", sa.Uuid)
)  # its first two

_TIMES = ("session_date", "started_at", "ended_at", "created_at", "updated_at")
_NO_RECORD: tuple[Any, ...] = (None, None, None)


def append() -> sa.CTE:
    """Appends events; parameters: `append_parameters`."""
    as_json = {"event_data", "session_snapshot"}
    columns = given_columns(_appended)
    values = [sa.cast(each, JSONB) if each.name in as_json else each for each in columns]
    rows = sa.select(*values)
    return (
        sa.insert(events).from_select([each.name for each in columns], rows).cte("appended_events")
    )


def enqueue() -> sa.CTE:
    """Queues the same events for the relay, in the order given."""
    keys = sa.select(_queued.c.user_id, _queued.c.id).order_by(_queued.c.place)
    return sa.insert(outbox).from_select(["user_id", "event_id"], keys).cte("queued_events")


def append_parameters(applied: Sequence[AppliedCommand]) -> dict[str, Any]:
    return parameters(_appended, [row for each in applied for row in _rows(each)])


def _rows(applied: AppliedCommand) -> Iterator[tuple[Any, ...]]:
    """The command's idempotency record goes into the row of its first event."""
    command, record = applied.command, _NO_RECORD
    if command.idempotency_key is not None:
        record = (command.idempotency_key, command.fingerprint(), _snapshot(applied.session))
    for event_id, event in applied.events:
        yield (
            event.user_id,
            event_id,
            event.session_id,
            event.session_version,
            event.type,
            orjson.dumps(event.data()).decode(),
            event.occurred_at,
            command.request_id,
            *record,
            command.traceparent,
        )
        record = _NO_RECORD


def to_idempotency_record(
    user_id: UUID, fingerprint: bytes, snapshot: dict[str, Any]
) -> IdempotencyRecord:
    return IdempotencyRecord(fingerprint=fingerprint, session=_from_snapshot(user_id, snapshot))


def _snapshot(session: Session) -> str:
    return orjson.dumps(
        {
            "id": str(session.id),
            "status": session.status,
            "sets": session.sets,
            "rpe": session.rpe,
            "notes": session.notes,
            "version": session.version,
            **{name: getattr(session, name) for name in _TIMES},
        }
    ).decode()


def _from_snapshot(user_id: UUID, snapshot: dict[str, Any]) -> Session:
    times = {name: snapshot[name] for name in _TIMES}
    return Session(
        user_id=user_id,
        id=UUID(snapshot["id"]),
        status=SessionStatus(snapshot["status"]),
        sets=tuple(snapshot["sets"]),
        rpe=snapshot["rpe"],
        notes=snapshot["notes"],
        version=snapshot["version"],
        **{name: time and datetime.fromisoformat(time) for name, time in times.items()},
    )

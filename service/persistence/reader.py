"""What users look at: each read is one statement, which becomes the service by itself."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson
from sqlalchemy import Column, DateTime, Integer, Text, Uuid, bindparam, func, select
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from service.application.ports import Position, RecordedEvent, SessionFilter
from service.domain.session import Session, SessionStatus
from service.persistence.engine import Database
from service.persistence.sessions import to_session
from service.persistence.statements import Statement
from service.persistence.tables import sessions

_NEVER = datetime(1, 1, 1, tzinfo=UTC)
_END = (datetime(9999, 1, 1, tzinfo=UTC), UUID(int=0))


def _rows_of(function: str, parameters: dict[str, Any], *columns: Column[Any]) -> Statement:
    given = [bindparam(name, type_=type_) for name, type_ in parameters.items()]
    called = getattr(func, function)(*given)
    rows = called.table_valued(*(Column(each.name, each.type) for each in columns))
    return Statement(select(rows))


_SESSION = _rows_of("service_session", {"user_id": Uuid(), "id": Uuid()}, *sessions.c)
_SESSIONS = _rows_of(
    "service_sessions",
    {
        "user_id": Uuid(),
        "statuses": ARRAY(Text()),
        "since": DateTime(timezone=True),
        "below_date": DateTime(timezone=True),
        "below_id": Uuid(),
        "limit": Integer(),
    },
    *sessions.c,
)
_HISTORY = _rows_of(
    "service_history",
    {"user_id": Uuid(), "id": Uuid(), "after": Integer(), "limit": Integer()},
    Column("id", Uuid),
    Column("event_type", Text),
    Column("session_version", Integer),
    Column("occurred_at", DateTime(timezone=True)),
    Column("event_data", JSONB),
)


class SqlReads:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def session(self, user_id: UUID, session_id: UUID) -> Session | None:
        rows = await self._database.read(_SESSION, {"user_id": user_id, "id": session_id})
        return to_session(user_id, rows[0]) if rows else None

    async def sessions(
        self, user_id: UUID, wanted: SessionFilter, after: Position | None, limit: int
    ) -> list[Session]:
        below_date, below_id = _below(wanted, after)
        parameters = {
            "user_id": user_id,
            "statuses": list(wanted.statuses or SessionStatus),
            "since": wanted.since or _NEVER,
            "below_date": below_date,
            "below_id": below_id,
            "limit": limit,
        }
        rows = await self._database.read(_SESSIONS, parameters)
        return [to_session(user_id, row) for row in rows]

    async def history(
        self, user_id: UUID, session_id: UUID, after: int, limit: int
    ) -> list[RecordedEvent] | None:
        parameters = {"user_id": user_id, "id": session_id, "after": after, "limit": limit}
        rows = await self._database.read(_HISTORY, parameters)
        if not rows:
            return None
        return [_to_event(row) for row in rows if row["id"]]


def _below(wanted: SessionFilter, after: Position | None) -> Position:
    """The least position that is too new: no session has the least id."""
    until = (wanted.until, UUID(int=0)) if wanted.until else _END
    return min(until, after or _END)


def _to_event(row: asyncpg.Record) -> RecordedEvent:
    return RecordedEvent(
        id=row["id"],
        type=row["event_type"],
        session_version=row["session_version"],
        occurred_at=row["occurred_at"],
        data=orjson.loads(row["event_data"]),
    )

# SPDX-License-Identifier: MIT
"""Reads of sessions and of their histories, each one statement."""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from service.application.commands import SessionKey
from service.application.ports import HistoryEvent, Position, SessionFilter
from service.domain.session import Session, SessionStatus
from service.persistence.sessions import COLUMNS, to_session
from service.persistence.tables import events, sessions
from service.persistence.unnest import CompiledStatement, one_row, parameters, rows_given_as

_NEVER = datetime(1, 1, 1, tzinfo=UTC)
_END = (datetime(9999, 1, 1, tzinfo=UTC), UUID(int=0))

_wanted = rows_given_as("wanted", sa.Column("user_id", sa.Uuid), sa.Column("id", sa.Uuid))
_found = one_row(
    sa.select(*COLUMNS).where(sessions.c.user_id == _wanted.c.user_id),
    sessions.c.id,
    _wanted.c.id,
    "found",
)

FIND = CompiledStatement(
    sa.select(_wanted.c.user_id, *_found.c).select_from(_wanted.join(_found, sa.true()))
)

_user_id = sa.bindparam("user_id", type_=sa.Uuid())

# One bound above and one below: of two bounds on the same side, an index scan may begin at the
# wrong one.
NEWEST = (
    sa.select(*COLUMNS)
    .where(
        sessions.c.user_id == _user_id,
        sa.tuple_(sessions.c.session_date, sessions.c.id)
        < sa.tuple_(
            sa.bindparam("below_date", type_=sa.DateTime(timezone=True)),
            sa.bindparam("below_id", type_=sa.Uuid()),
        ),
        sessions.c.session_date >= sa.bindparam("since", type_=sa.DateTime(timezone=True)),
        sessions.c.status
        == sa.func.any(sa.bindparam("statuses", type_=ARRAY(sa.Text(), dimensions=1))),
    )
    .order_by(sessions.c.session_date.desc(), sessions.c.id.desc())
    .limit(sa.bindparam("limit", type_=sa.Integer()))
)

_session_id = sa.bindparam("session_id", type_=sa.Uuid())
_session = one_row(
    sa.select(sessions.c.id).where(sessions.c.user_id == _user_id),
    sessions.c.id,
    _session_id,
    "session",
)
_page = (
    sa.select(
        events.c.id,
        events.c.event_type,
        events.c.session_version,
        events.c.occurred_at,
        events.c.event_data,
    )
    .where(
        events.c.user_id == _user_id,
        events.c.session_id == _session_id,
        events.c.session_version > sa.bindparam("after", type_=sa.Integer()),
    )
    .order_by(events.c.session_version)
    .limit(sa.bindparam("limit", type_=sa.Integer()))
    .lateral("page")
)

# A session without further events is one row of nulls; no session is no row.
HISTORY = (
    sa.select(*_page.c)
    .select_from(_session.outerjoin(_page, sa.true()))
    .order_by(_page.c.session_version)
)


class SqlSessionReader:
    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def find(self, keys: Collection[SessionKey]) -> dict[SessionKey, Session]:
        rows = FIND.execute(self._connection, parameters(_wanted, keys))
        found = (to_session(user_id, columns) for user_id, *columns in rows)
        return {(session.user_id, session.id): session for session in found}

    def newest(
        self, user_id: UUID, wanted: SessionFilter, after: Position | None, limit: int
    ) -> list[Session]:
        below_date, below_id = _below(wanted, after)
        given: dict[str, Any] = {
            "user_id": user_id,
            "statuses": list(wanted.statuses or SessionStatus),
            "since": wanted.since or _NEVER,
            "below_date": below_date,
            "below_id": below_id,
            "limit": limit,
        }
        rows = self._connection.execute(NEWEST, given)
        return [to_session(user_id, row) for row in rows]

    def history(
        self, user_id: UUID, session_id: UUID, after: int, limit: int
    ) -> list[HistoryEvent] | None:
        given = {"user_id": user_id, "session_id": session_id, "after": after, "limit": limit}
        rows = self._connection.execute(HISTORY, given).all()
        if not rows:
            return None
        return [
            HistoryEvent(
                id=event_id, type=kind, session_version=version, occurred_at=moment, data=data
            )
            for event_id, kind, version, moment, data in rows
            if event_id
        ]


def _below(wanted: SessionFilter, after: Position | None) -> Position:
    """The least position that is too new. No session has the least id, so `until` is exclusive."""
    until = (wanted.until, UUID(int=0)) if wanted.until else _END
    return min(until, after or _END)

# SPDX-License-Identifier: MIT
"""Reads of sessions, of lists and of histories: one statement for all reads of a kind."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from service.application.ports import (
    FindSession,
    HistoryEvent,
    ListSessions,
    Position,
    ReadHistory,
    SessionFilter,
)
from service.domain.session import Session
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

_listed = rows_given_as(
    "listed",
    sa.Column("user_id", sa.Uuid),
    sa.Column("below_date", sa.DateTime(timezone=True)),
    sa.Column("below_id", sa.Uuid),
    sa.Column("since", sa.DateTime(timezone=True)),
    sa.Column("statuses", sa.Text),  # "{planned,failed}", for an array of arrays is rectangular
    sa.Column("rows_max", sa.Integer),
)

# One bound above and one below: of two bounds on the same side, an index scan may begin at the
# wrong one.
_newest = (
    sa.select(*COLUMNS)
    .where(
        sessions.c.user_id == _listed.c.user_id,
        sa.tuple_(sessions.c.session_date, sessions.c.id)
        < sa.tuple_(_listed.c.below_date, _listed.c.below_id),
        sessions.c.session_date >= _listed.c.since,
        sa.or_(
            _listed.c.statuses.is_(None),
            sessions.c.status == sa.func.any(sa.cast(_listed.c.statuses, ARRAY(sa.Text))),
        ),
    )
    .order_by(sessions.c.session_date.desc(), sessions.c.id.desc())
    .limit(_listed.c.rows_max)
    .lateral("newest")
)

NEWEST = CompiledStatement(
    sa.select(_listed.c.place, *_newest.c)
    .select_from(_listed.join(_newest, sa.true()))
    .order_by(_listed.c.place, _newest.c.session_date.desc(), _newest.c.id.desc())
)

_read = rows_given_as(
    "read",
    sa.Column("user_id", sa.Uuid),
    sa.Column("session_id", sa.Uuid),
    sa.Column("after", sa.Integer),
    sa.Column("rows_max", sa.Integer),
)
_session = one_row(
    sa.select(sessions.c.id).where(sessions.c.user_id == _read.c.user_id),
    sessions.c.id,
    _read.c.session_id,
    "session",
)
HISTORY_COLUMNS = (
    events.c.id,
    events.c.event_type,
    events.c.session_version,
    events.c.occurred_at,
    events.c.event_data,
)
_page = (
    sa.select(*HISTORY_COLUMNS)
    .where(
        events.c.user_id == _read.c.user_id,
        events.c.session_id == _read.c.session_id,
        events.c.session_version > _read.c.after,
    )
    .order_by(events.c.session_version)
    .limit(_read.c.rows_max)
    .lateral("page")
)

# A session without further events is one row of nulls; no session is no row.
HISTORIES = CompiledStatement(
    sa.select(_read.c.place, *_page.c)
    .select_from(_read.join(_session, sa.true()).outerjoin(_page, sa.true()))
    .order_by(_read.c.place, _page.c.session_version)
)


class SqlSessionReader:
    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def find(self, requests: Sequence[FindSession]) -> list[Session | None]:
        rows = FIND.execute(self._connection, parameters(_wanted, set(requests)))
        each_found = (to_session(user_id, columns) for user_id, *columns in rows)
        found = {(session.user_id, session.id): session for session in each_found}
        return [found.get(each) for each in requests]

    def newest(self, requests: Sequence[ListSessions]) -> list[list[Session]]:
        given = parameters(_listed, [_listed_row(each) for each in requests])
        found: list[list[Session]] = [[] for _ in requests]
        for place, *columns in NEWEST.execute(self._connection, given):
            user_id = requests[place - 1].user_id
            found[place - 1].append(to_session(user_id, columns))
        return found

    def histories(self, requests: Sequence[ReadHistory]) -> list[list[HistoryEvent] | None]:
        rows = HISTORIES.execute(self._connection, parameters(_read, requests))
        found: dict[int, list[HistoryEvent]] = {}
        for place, event_id, kind, version, moment, data in rows:
            history = found.setdefault(place, [])
            if event_id:
                history.append(
                    HistoryEvent(
                        id=event_id,
                        type=kind,
                        session_version=version,
                        occurred_at=moment,
                        data=data,
                    )
                )
        return [found.get(place) for place, _ in enumerate(requests, start=1)]


def _listed_row(request: ListSessions) -> tuple[Any, ...]:
    wanted = request.wanted
    below_date, below_id = _below(wanted, request.after)
    statuses = "{" + ",".join(wanted.statuses) + "}" if wanted.statuses else None
    return (
        request.user_id,
        below_date,
        below_id,
        wanted.since or _NEVER,
        statuses,
        request.rows_max,
    )


def _below(wanted: SessionFilter, after: Position | None) -> Position:
    """The least position that is too new. No session has the least id, so `until` is exclusive."""
    until = (wanted.until, UUID(int=0)) if wanted.until else _END
    return min(until, after or _END)

# SPDX-License-Identifier: MIT
"""Rows of `sessions` <-> Session."""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, insert

from service.application.ports import AppliedCommand
from service.domain.session import Session, SessionStatus
from service.persistence.tables import sessions
from service.persistence.unnest import AsyncpgArray, given_columns, parameters, rows_given_as

COLUMNS = (
    sessions.c.id,
    sessions.c.status,
    sessions.c.session_date,
    sessions.c.started_at,
    sessions.c.ended_at,
    sa.type_coerce(sessions.c.sets, AsyncpgArray(sa.SmallInteger())).label("sets"),
    sessions.c.rpe,
    sessions.c.notes,
    sessions.c.version,
    sessions.c.created_at,
    sessions.c.updated_at,
)
"""What `to_session` takes, in this order."""

_written = rows_given_as(
    "written",
    sa.Column("user_id", sa.Uuid),
    sa.Column("id", sa.Uuid),
    sa.Column("status", sa.Text),
    sa.Column("session_date", sa.DateTime(timezone=True)),
    sa.Column("started_at", sa.DateTime(timezone=True)),
    sa.Column("ended_at", sa.DateTime(timezone=True)),
    sa.Column("sets", sa.Text),  # "{12,NULL}": an array of arrays would have to be rectangular
    sa.Column("rpe", sa.SmallInteger),
    sa.Column("notes", sa.Text),
    sa.Column("version", sa.Integer),
    sa.Column("created_at", sa.DateTime(timezone=True)),
    sa.Column("updated_at", sa.DateTime(timezone=True)),
)
_FIXED = {"user_id", "id", "created_at"}
CHANGING = tuple(each.name for each in sessions.columns if each.name not in _FIXED)


def upsert() -> sa.CTE:
    """Writes sessions, new and changed, in the order given; parameters: `upsert_parameters`.

    An upsert finds each row by its key. For an UPDATE joined with the given rows, the planner may
    read all rows of all acting users instead. A row is not written if its version is not older
    than the given one, which the lock of LOAD rules out.
    """
    values = [
        sa.cast(each, ARRAY(sa.SmallInteger)) if each.name == "sets" else each
        for each in given_columns(_written)
    ]
    rows = sa.select(*values).order_by(_written.c.place)
    names = [each.name for each in given_columns(_written)]
    new = insert(sessions).from_select(names, rows)
    return (
        new.on_conflict_do_update(
            index_elements=[sessions.c.user_id, sessions.c.id],
            set_={name: new.excluded[name] for name in CHANGING},
            where=sessions.c.version < new.excluded.version,
        )
        .returning(sessions.c.id)
        .cte("upserted")
    )


def upsert_parameters(applied: Sequence[AppliedCommand]) -> tuple[dict[str, Any], int]:
    """The parameters of `upsert`, and the number of rows that it has to write.

    A session that several commands changed is written once, as the last one left it. Sessions in
    progress come last: the unique index that allows each user one of them checks row by row.
    """
    last = {each.command.session_key: each.session for each in applied}
    in_order = sorted(last.values(), key=lambda each: each.status is SessionStatus.IN_PROGRESS)
    return parameters(_written, [_row(session) for session in in_order]), len(in_order)


def _row(session: Session) -> tuple[Any, ...]:
    return (
        session.user_id,
        session.id,
        session.status,
        session.session_date,
        session.started_at,
        session.ended_at,
        "{" + ",".join("NULL" if reps is None else str(reps) for reps in session.sets) + "}",
        session.rpe,
        session.notes,
        session.version,
        session.created_at,
        session.updated_at,
    )


def to_session(user_id: UUID, columns: Iterable[Any]) -> Session:
    session_id, status, date, started, ended, sets, rpe, notes, version, created, updated = columns
    return Session(
        user_id=user_id,
        id=session_id,
        status=SessionStatus(status),
        session_date=date,
        started_at=started,
        ended_at=ended,
        sets=tuple(sets),
        rpe=rpe,
        notes=notes,
        version=version,
        created_at=created,
        updated_at=updated,
    )

# SPDX-License-Identifier: MIT
"""One transaction of a group of commands: LOAD locks and reads, WRITE writes, then COMMIT.

Each is one statement, whatever the number of commands; LOCK_USERS comes first where a command
depends on more than its own session. Without `commit`, the transaction is rolled back.
"""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from service.application.errors import Contended
from service.application.ports import AppliedCommand, LoadedCommand, LoadRequest
from service.domain.session import SessionStatus
from service.persistence import committing
from service.persistence.events import append, append_parameters, enqueue, to_idempotency_record
from service.persistence.sessions import COLUMNS, to_session, upsert, upsert_parameters
from service.persistence.tables import events, sessions
from service.persistence.unnest import CompiledStatement, one_row, parameters, rows_given_as

USER_LOCKS: sa.ColumnElement[int] = sa.literal_column("1395864371")
"""Keeps locks on users apart from other advisory locks of two numbers; any number would do."""

_users = rows_given_as("users", sa.Column("user_id", sa.Uuid))

LOCK_USERS = CompiledStatement(
    sa.select(
        _users.c.user_id,
        sa.func.pg_try_advisory_xact_lock(
            USER_LOCKS, sa.func.hashtext(sa.cast(_users.c.user_id, sa.Text))
        ),
    )
)

_requested = rows_given_as(
    "requested",
    sa.Column("user_id", sa.Uuid),
    sa.Column("session_id", sa.Uuid),
    sa.Column("idempotency_key", sa.Text),
    sa.Column("locks_user", sa.Boolean),
    sa.Column("uncertain_event", sa.Uuid),
)
_tableoid: sa.ColumnElement[int] = sa.literal_column("sessions.tableoid")
_ctid: sa.ColumnElement[Any] = sa.literal_column("sessions.ctid")
_found = one_row(
    sa.select(*COLUMNS, _tableoid.label("tableoid"), _ctid.label("ctid")).where(
        sessions.c.user_id == _requested.c.user_id
    ),
    sessions.c.id,
    _requested.c.session_id,
    "found",
)

# Locks the row of `_found`. No row if another transaction holds it, or has changed it since this
# statement began: the statement would not see what else that transaction wrote, such as its event.
#
# Found by ctid, because after a search by key PostgreSQL 18.6 crashes on partitions if the row has
# changed. EXISTS has the same defect, so LOAD only joins. The version is compared because older
# servers do not compare the ctid of a changed row again.
_locked = (
    sa.select(sessions.c.id)
    .where(
        _tableoid == _found.c.tableoid,
        _ctid == _found.c.ctid,
        sessions.c.version == _found.c.version,
    )
    .limit(sa.literal_column("1"))
    .with_for_update(key_share=True, skip_locked=True)
    .lateral("locked")
)
_record = one_row(
    sa.select(events.c.command_fingerprint, events.c.session_snapshot).where(
        events.c.user_id == _requested.c.user_id
    ),
    events.c.idempotency_key,
    _requested.c.idempotency_key,
    "record",
)
_active = (
    sa.select(sessions.c.id)
    .where(
        _requested.c.locks_user,
        sessions.c.user_id == _requested.c.user_id,
        sessions.c.status == sa.literal_column(f"'{SessionStatus.IN_PROGRESS}'"),
    )
    .limit(sa.literal_column("1"))
    .lateral("active")
)
_committed = one_row(
    sa.select(events.c.id).where(events.c.user_id == _requested.c.user_id),
    events.c.id,
    _requested.c.uncertain_event,
    "committed",
)

LOAD = CompiledStatement(
    sa.select(
        *(_found.c[each.name] for each in COLUMNS),
        _locked.c.id.label("locked_id"),
        _record.c.command_fingerprint,
        _record.c.session_snapshot,
        _active.c.id.label("active_id"),
        _committed.c.id.is_not(None).label("is_committed"),
    )
    .select_from(
        _requested.outerjoin(_found, sa.true())
        .outerjoin(_locked, sa.true())
        .outerjoin(_record, sa.true())
        .outerjoin(_active, sa.true())
        .outerjoin(_committed, sa.true())
    )
    .order_by(_requested.c.place)
)

_upserted = upsert()
WRITE = CompiledStatement(
    sa.select(sa.func.count()).select_from(_upserted).add_cte(append(), enqueue())
)


class SqlUnitOfWork:
    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection
        self.is_committed = False

    def load(self, requests: Sequence[LoadRequest]) -> list[LoadedCommand]:
        busy_users = self._lock_users(
            {each.command.user_id for each in requests if each.command.locks_user}
        )
        given = parameters(_requested, [_request_row(each) for each in requests])
        rows = LOAD.execute(self._connection, given)
        return [
            _to_loaded(request, row, busy_users)
            for request, row in zip(requests, rows, strict=True)
        ]

    def save(self, applied: Sequence[AppliedCommand]) -> None:
        """One statement, so that no failure can part the sessions, the events and the outbox."""
        session_parameters, expected = upsert_parameters(applied)
        given = session_parameters | append_parameters(applied)
        [(written,)] = WRITE.execute(self._connection, given)
        if written != expected:
            raise Contended

    def commit(self) -> None:
        committing.commit(self._connection)
        self.is_committed = True

    def confirm(self) -> None:
        committing.confirm(self._connection)

    def _lock_users(self, users: set[UUID]) -> set[UUID]:
        """Locks them without waiting; returns those that another transaction holds."""
        if not users:
            return set()
        given = parameters(_users, [(user_id,) for user_id in users])
        rows = LOCK_USERS.execute(self._connection, given)
        return {user_id for user_id, is_locked in rows if not is_locked}


def _request_row(request: LoadRequest) -> tuple[Any, ...]:
    command = request.command
    return (
        command.user_id,
        command.session_id,
        command.idempotency_key,
        command.locks_user,
        request.uncertain_event,
    )


def _to_loaded(request: LoadRequest, row: Iterable[Any], busy_users: set[UUID]) -> LoadedCommand:
    command = request.command
    *columns, locked_id, fingerprint, snapshot, active_id, is_committed = row
    session = to_session(command.user_id, columns) if columns[0] else None
    record = to_idempotency_record(command.user_id, fingerprint, snapshot) if fingerprint else None
    is_user_held = command.locks_user and command.user_id in busy_users
    return LoadedCommand(
        command=command,
        session=session,
        must_wait=is_user_held or (session is not None and locked_id is None),
        idempotency_record=record,
        active_session_id=active_id,
        is_committed=is_committed,
    )

# SPDX-License-Identifier: MIT
"""Deletes the rows of a user, in turns of the relay's queue."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from service.application.erasure import ErasedRows
from service.persistence.outbox import WAIT_FOR_TURN
from service.persistence.role_transactions import RoleTransaction, RoleTransactions
from service.persistence.roles import ERASER_ROLE
from service.persistence.tables import events, outbox, parked_events, sessions
from service.persistence.unit_of_work import USER_LOCKS
from service.persistence.unnest import AsyncpgArray

_user = sa.bindparam("user_id", type_=sa.Uuid())
_these = sa.func.any(sa.bindparam("sessions", type_=AsyncpgArray(sa.Uuid())))

_COUNT = sa.select(sa.func.count()).select_from(sessions).where(sessions.c.user_id == _user)
_SOME = (
    sa.select(sessions.c.id)
    .where(sessions.c.user_id == _user)
    .order_by(sessions.c.id)
    .limit(sa.bindparam("limit", type_=sa.Integer()))
)

# Without it, a command that starts another session would wait for the end of this transaction, and
# its group with it. With it, the command is skipped and retried.
_LOCK_USER = sa.select(
    sa.func.pg_advisory_xact_lock(USER_LOCKS, sa.func.hashtext(sa.cast(_user, sa.Text)))
)
_DELETE_EVENTS = sa.delete(events).where(events.c.user_id == _user, events.c.session_id == _these)
_DELETE_SESSIONS = sa.delete(sessions).where(sessions.c.user_id == _user, sessions.c.id == _these)


def _delete_orphans(table: sa.Table) -> sa.Delete:
    """Its rows whose events are gone."""
    event = sa.exists(events.c.id).where(
        events.c.user_id == table.c.user_id, events.c.id == table.c.event_id
    )
    return sa.delete(table).where(table.c.user_id == _user, ~event)


_DELETE_QUEUED, _DELETE_PARKED = _delete_orphans(outbox), _delete_orphans(parked_events)


class SqlErasureTurn(RoleTransaction):
    async def sessions(self, user_id: UUID, limit: int) -> Sequence[UUID]:
        rows = await self.execute(_SOME, {"user_id": user_id, "limit": limit})
        return rows.scalars().all()

    async def erase(self, user_id: UUID, sessions: Sequence[UUID]) -> ErasedRows:
        given = {"user_id": user_id, "sessions": sessions}
        await self.execute(_LOCK_USER, {"user_id": user_id})
        events = await self._delete(_DELETE_EVENTS, given)
        return ErasedRows(
            # Waits for commands that hold a session; the events that they wrote go with it.
            sessions=await self._delete(_DELETE_SESSIONS, given),
            events=events,
            queued=await self._delete(_DELETE_QUEUED, {"user_id": user_id}),
            parked=await self._delete(_DELETE_PARKED, {"user_id": user_id}),
        )

    async def _delete(self, statement: sa.Delete, given: dict[str, Any]) -> int:
        return (await self.execute(statement, given)).rowcount


class SqlErasure:
    """`lease`: as that of a relay."""

    def __init__(self, engine: AsyncEngine, *, lease: float, statement_timeout: float) -> None:
        self._transactions = RoleTransactions(
            engine, ERASER_ROLE, "this command", lease=lease, statement_timeout=statement_timeout
        )

    async def count_sessions(self, user_id: UUID) -> int:
        async with self._transactions.short(RoleTransaction) as transaction:
            return int((await transaction.execute(_COUNT, {"user_id": user_id})).scalar_one())

    async def confirm(self) -> None:
        await self._transactions.confirm()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[SqlErasureTurn]:
        async with self._transactions.long(SqlErasureTurn) as turn:
            await turn.execute(WAIT_FOR_TURN)
            yield turn

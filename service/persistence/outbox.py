# SPDX-License-Identifier: MIT
"""Opens the relay's transactions: leadership, turns, and the list of parked events."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from service.application.outbox import Backlog, EventKey, OutboxEvent, ParkedEvent
from service.persistence.history import pruned_before, read_by_key, read_page
from service.persistence.relay_turn import SqlTurn
from service.persistence.role_transactions import RoleTransactions
from service.persistence.roles import RELAY_ROLE
from service.persistence.tables import events, parked_events

LEADERSHIP_LOCK, TURN_LOCK = 7_264_110_300_552, 7_264_110_300_553
"""Keys of advisory locks, the same for all relays of a database; any numbers would do."""

_TRY_TO_LEAD = sa.select(sa.func.pg_try_advisory_xact_lock(LEADERSHIP_LOCK))
_TRY_TURN = sa.select(sa.func.pg_try_advisory_xact_lock(TURN_LOCK))
WAIT_FOR_TURN = sa.select(sa.func.pg_advisory_xact_lock(TURN_LOCK))

_PARKED = (
    sa.select(
        parked_events.c.position,
        parked_events.c.event_id,
        parked_events.c.session_id,
        events.c.event_type.label("type"),
        parked_events.c.reason,
        parked_events.c.parked_at,
    )
    .outerjoin_from(
        parked_events,
        events,
        sa.and_(
            events.c.user_id == parked_events.c.user_id, events.c.id == parked_events.c.event_id
        ),
    )
    .order_by(parked_events.c.position)
)


class Outbox:
    """Opens turns of the relay's role, with the errors and times of RoleTransactions."""

    def __init__(self, engine: AsyncEngine, *, lease: float, statement_timeout: float) -> None:
        self._transactions = RoleTransactions(
            engine, RELAY_ROLE, "the relay", lease=lease, statement_timeout=statement_timeout
        )

    def leadership(self) -> AbstractAsyncContextManager[SqlTurn | None]:
        """None if another process leads."""
        return self._locked_turn(_TRY_TO_LEAD)

    def turn(self) -> AbstractAsyncContextManager[SqlTurn | None]:
        """None if another process has its turn."""
        return self._locked_turn(_TRY_TURN)

    @asynccontextmanager
    async def long_turn(self) -> AsyncIterator[SqlTurn]:
        """Waits for its turn, in which no statement has a time limit."""
        async with self._transactions.long(SqlTurn) as turn:
            await turn.execute(WAIT_FOR_TURN)
            yield turn

    async def confirm(self) -> None:
        await self._transactions.confirm()

    async def count(self, since: datetime) -> int:
        async with self._transactions.long(SqlTurn) as turn:
            return await turn.count(since)

    async def history(self, since: datetime, page_size: int) -> AsyncIterator[list[OutboxEvent]]:
        """Pages as those of a turn, but each in a transaction of its own, and with no lock."""
        page = await self._read_page(since, page_size, None)
        while page:
            yield page
            page = await self._read_page(since, page_size, page[-1])

    async def find(self, keys: Sequence[EventKey]) -> list[OutboxEvent]:
        async with self._transactions.short(SqlTurn) as turn:
            return await read_by_key(turn.execute, keys)

    async def pruned_before(self) -> datetime | None:
        async with self._transactions.short(SqlTurn) as turn:
            return await pruned_before(turn.execute)

    async def backlog(self) -> Backlog:
        async with self._transactions.short(SqlTurn) as turn:
            return await turn.backlog()

    async def parked(self) -> list[ParkedEvent]:
        async with self._transactions.short(SqlTurn) as turn:
            rows = (await turn.execute(_PARKED)).mappings()
            return [ParkedEvent(**row) for row in rows]

    async def _read_page(
        self, since: datetime, page_size: int, behind: OutboxEvent | None
    ) -> list[OutboxEvent]:
        async with self._transactions.long(SqlTurn) as turn:
            return await read_page(turn.execute, since, page_size, behind)

    @asynccontextmanager
    async def _locked_turn(self, lock: sa.Select[Any]) -> AsyncIterator[SqlTurn | None]:
        async with self._transactions.short(SqlTurn) as turn:
            is_locked = (await turn.execute(lock)).scalar()
            yield turn if is_locked else None

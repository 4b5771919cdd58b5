# SPDX-License-Identifier: MIT
"""The statements of a relay's turn: read the oldest events, delete or park them, commit."""

from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from service.application.outbox import (
    BACKLOG_EXACT_MAX,
    Backlog,
    EventToPark,
    OutboxEvent,
    QueuedEvent,
)
from service.persistence import history
from service.persistence.driver import cut_after
from service.persistence.role_transactions import RoleTransaction
from service.persistence.tables import events, outbox, parked_events
from service.persistence.unnest import DIALECT, PLACE, AsyncpgArray, parameters, rows_given_as

FETCH_SIZE = 500
"""Rows of ordinary size that fit into the buffers of a socket.

A server that cannot send its rows does not notice that the relay is frozen: its limit for an idle
transaction begins when all rows are sent.
"""

_first = (
    sa.select(outbox).order_by(outbox.c.position).limit(sa.bindparam("limit", type_=sa.Integer()))
)
_first_rows = _first.subquery("first")
_is_blocked = sa.exists().where(
    parked_events.c.user_id == events.c.user_id, parked_events.c.session_id == events.c.session_id
)
OLDEST = (
    sa.select(
        _first_rows.c.position,
        _first_rows.c.user_id.label("queued_user_id"),
        _first_rows.c.event_id,
        _is_blocked.label("is_blocked"),
        *history.EVENT_COLUMNS,
    )
    .outerjoin_from(
        _first_rows,
        events,
        sa.and_(events.c.user_id == _first_rows.c.user_id, events.c.id == _first_rows.c.event_id),
    )
    .order_by(_first_rows.c.position)
)
DECLARE_OLDEST = f"DECLARE oldest NO SCROLL CURSOR FOR {OLDEST.compile(dialect=DIALECT)}"
FETCH_OLDEST = sa.text(f"FETCH {FETCH_SIZE} FROM oldest").columns(*OLDEST.selected_columns)
CLOSE_OLDEST = sa.text("CLOSE oldest")

_REMOVE = sa.delete(outbox).where(
    outbox.c.position == sa.func.any(sa.bindparam("positions", type_=AsyncpgArray(sa.BigInteger())))
)

_to_park = rows_given_as(
    "to_park",
    sa.Column("position", sa.BigInteger),
    sa.Column("user_id", sa.Uuid),
    sa.Column("event_id", sa.Uuid),
    sa.Column("session_id", sa.Uuid),
    sa.Column("reason", sa.Text),
)
_PARK = sa.insert(parked_events).from_select(
    ["position", "user_id", "event_id", "session_id", "reason", "parked_at"],
    sa.select(*[each for each in _to_park.c if each.name != PLACE], sa.func.now()),
)

# To their former positions, so that they go before the later events of their sessions.
_RETRY_PARKED = sa.text("""
    WITH freed AS (DELETE FROM parked_events RETURNING position, user_id, event_id)
    INSERT INTO outbox (position, user_id, event_id) OVERRIDING SYSTEM VALUE
    SELECT position, user_id, event_id FROM freed
    RETURNING position
""")

_counted = sa.select(outbox.c.position).limit(BACKLOG_EXACT_MAX).subquery()
_some_parked = sa.select(parked_events.c.position).limit(BACKLOG_EXACT_MAX).subquery()
_first_position, _last_position = (
    sa.select(outbox.c.position).order_by(order).limit(1).scalar_subquery()
    for order in (outbox.c.position, outbox.c.position.desc())  # min() would read all rows
)
_head = (
    sa.select(outbox.c.user_id, outbox.c.event_id).order_by(outbox.c.position).limit(1).subquery()
)
_oldest_at = (
    sa.select(events.c.occurred_at)
    .where(events.c.user_id == _head.c.user_id, events.c.id == _head.c.event_id)
    .scalar_subquery()
)
_pending = sa.case(
    (sa.func.count() < BACKLOG_EXACT_MAX, sa.func.count()),
    else_=_last_position - _first_position + 1,
)
_BACKLOG = sa.select(
    sa.select(_pending).select_from(_counted).scalar_subquery().label("pending"),
    sa.select(sa.func.count()).select_from(_some_parked).scalar_subquery().label("parked"),
    sa.select(_oldest_at).select_from(_head).scalar_subquery().label("oldest_at"),
)


class SqlTurn(RoleTransaction):
    async def oldest(self, limit: int) -> list[QueuedEvent]:
        with cut_after(self._driver, self._patience):
            await self._connection.exec_driver_sql(DECLARE_OLDEST, (limit,))
        queued: list[QueuedEvent] = []
        while len(queued) < limit:
            page = [_to_queued(row) for row in await self.execute(FETCH_OLDEST)]
            queued += page
            if len(page) < FETCH_SIZE:
                break
        await self.execute(CLOSE_OLDEST)  # an open cursor keeps its snapshot, and delays vacuum
        return queued

    async def remove(self, positions: Sequence[int]) -> None:
        await self.execute(_REMOVE, {"positions": positions})

    async def park(self, to_park: Sequence[EventToPark]) -> None:
        await self.execute(_PARK, parameters(_to_park, [_to_row(each) for each in to_park]))
        await self.remove([each.queued.position for each in to_park])

    async def backlog(self) -> Backlog:
        [counts] = (await self.execute(_BACKLOG)).mappings()
        return Backlog(**counts)

    async def count(self, since: datetime) -> int:
        return await history.count(self.execute, since)

    async def history(self, since: datetime, page_size: int) -> AsyncIterator[list[OutboxEvent]]:
        page = await history.read_page(self.execute, since, page_size, None)
        while page:
            yield page
            page = await history.read_page(self.execute, since, page_size, page[-1])

    async def retry_parked(self) -> int:
        return len((await self.execute(_RETRY_PARKED)).all())


def _to_queued(row: Iterable[Any]) -> QueuedEvent:
    position, user_id, event_id, is_blocked, *facts = row
    event = None if facts[0] is None else OutboxEvent._make(facts)
    return QueuedEvent(position, user_id, event_id, event, is_blocked)


def _to_row(each: EventToPark) -> tuple[Any, ...]:
    queued = each.queued
    session_id = queued.event.session_id if queued.event else None
    return queued.position, queued.user_id, queued.event_id, session_id, each.reason

# SPDX-License-Identifier: MIT
"""Removes old idempotency keys and old events, page by page in the order of the primary key.

No index on the time serves this: each command would have to write it.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from service.application.outbox import EventKey
from service.application.pruning import Pruned, Retention
from service.persistence.role_transactions import RoleTransaction, RoleTransactions
from service.persistence.roles import ERASER_ROLE
from service.persistence.tables import events, outbox, parked_events, prunings

_ESTIMATE = sa.text("""
    SELECT greatest(coalesce(sum(reltuples), 0), 0)::bigint FROM pg_class
    WHERE oid = to_regclass('events')
        OR oid IN (SELECT relid FROM pg_partition_tree(to_regclass('events')) WHERE isleaf)
""")

_key = sa.tuple_(events.c.user_id, events.c.id)


def _place(name: str) -> sa.Tuple:
    """A key that is given as two parameters."""
    names = (f"{name}_user_id", f"{name}_id")
    return sa.tuple_(*(sa.bindparam(each, type_=sa.Uuid()) for each in names))


def _given(name: str, key: EventKey) -> dict[str, Any]:
    return dict(zip((f"{name}_user_id", f"{name}_id"), key, strict=True))


_NEXT_PAGE = (
    sa.select(events.c.user_id, events.c.id)
    .where(_key > _place("behind"))
    .order_by(events.c.user_id, events.c.id)
    .limit(sa.bindparam("size", type_=sa.Integer()))
)

_before = sa.bindparam("before", type_=sa.DateTime(timezone=True))
_RECORD = (
    insert(prunings)
    .from_select(
        ["events_before", "begun_at"],
        sa.select(_before, sa.func.now()).where(
            ~sa.exists().where(prunings.c.events_before >= _before)
        ),
    )
    .on_conflict_do_nothing()
)


def _is_absent_from(table: sa.Table) -> sa.ColumnElement[bool]:
    return ~sa.exists(table.c.event_id).where(
        table.c.user_id == events.c.user_id, table.c.event_id == events.c.id
    )


def _of_page(*conditions: sa.ColumnElement[bool]) -> sa.Select[Any]:
    return sa.select(events.c.user_id, events.c.id).where(
        _key > _place("behind"),
        _key <= _place("last"),
        events.c.occurred_at < _before,
        *conditions,
    )


_WITH_OLD_KEYS = _of_page(events.c.idempotency_key.is_not(None))
_OLD_EVENTS = _of_page(_is_absent_from(outbox), _is_absent_from(parked_events))


def _number_of(rows: sa.FromClause) -> sa.Select[int]:
    return sa.select(sa.func.count()).select_from(rows)


_COUNT_EVENTS = _number_of(_OLD_EVENTS.subquery())
_COUNT_KEYS = _number_of(_WITH_OLD_KEYS.subquery())

_old = _OLD_EVENTS.with_for_update(of=events, skip_locked=True).cte("old")
_DELETE_EVENTS = _number_of(
    sa.delete(events)
    .where(events.c.user_id == _old.c.user_id, events.c.id == _old.c.id)
    .returning(events.c.id)
    .cte("deleted")
)
_keys = _WITH_OLD_KEYS.with_for_update(key_share=True, skip_locked=True).cte("old")
_FORGET_KEYS = _number_of(
    sa.update(events)
    .values(idempotency_key=None, command_fingerprint=None, session_snapshot=sa.null())
    .where(events.c.user_id == _keys.c.user_id, events.c.id == _keys.c.id)
    .returning(events.c.id)
    .cte("forgotten")
)

STATEMENT_SECONDS, SILENCE_SECONDS = 60.0, 10.0


class SqlOldRows:
    def __init__(self, engine: AsyncEngine) -> None:
        self._transactions = RoleTransactions(
            engine,
            ERASER_ROLE,
            "this command",
            lease=SILENCE_SECONDS,
            statement_timeout=STATEMENT_SECONDS,
        )

    async def estimate(self) -> int:
        async with self._transactions.short(RoleTransaction) as transaction:
            return int((await transaction.execute(_ESTIMATE)).scalar_one())

    async def next_page(self, behind: EventKey, size: int) -> Sequence[EventKey]:
        async with self._transactions.short(RoleTransaction) as transaction:
            rows = await transaction.execute(_NEXT_PAGE, _given("behind", behind) | {"size": size})
            return [(row.user_id, row.id) for row in rows]

    async def count(self, behind: EventKey, last: EventKey, retention: Retention) -> Pruned:
        """Counts a key also if its event would go."""
        async with self._transactions.short(RoleTransaction) as transaction:
            page = _given("behind", behind) | _given("last", last)
            return await _run(transaction, _COUNT_EVENTS, _COUNT_KEYS, page, retention)

    async def prune(self, behind: EventKey, last: EventKey, retention: Retention) -> Pruned:
        async with self._transactions.short(RoleTransaction) as transaction:
            page = _given("behind", behind) | _given("last", last)
            pruned = await _run(transaction, _DELETE_EVENTS, _FORGET_KEYS, page, retention)
            if pruned.events:
                await transaction.execute(_RECORD, {"before": retention.events_before})
            await transaction.commit()
        return pruned

    async def confirm(self) -> None:
        await self._transactions.confirm()


async def _run(
    transaction: RoleTransaction,
    of_events: sa.Select[int],
    of_keys: sa.Select[int],
    page: dict[str, Any],
    retention: Retention,
) -> Pruned:
    async def number(statement: sa.Select[int], before: datetime | None) -> int:
        if before is None:
            return 0
        return int((await transaction.execute(statement, page | {"before": before})).scalar_one())

    events = await number(of_events, retention.events_before)
    return Pruned(events=events, keys=await number(of_keys, retention.keys_before))

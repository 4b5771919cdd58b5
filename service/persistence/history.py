# SPDX-License-Identifier: MIT
"""Reads events that the stream should hold: in pages, or by their keys."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from service.application.outbox import EventKey, OutboxEvent
from service.persistence.tables import events, outbox, parked_events, prunings
from service.persistence.unnest import one_row, parameters, rows_given_as

EVENT_COLUMNS = (
    events.c.id,
    events.c.user_id,
    events.c.session_id,
    events.c.session_version,
    events.c.event_type,
    events.c.event_data,
    events.c.occurred_at,
    events.c.request_id,
    events.c.traceparent,
)
"""The fields of OutboxEvent, in this order."""

Execute = Callable[[sa.Executable, Mapping[str, Any]], Awaitable[sa.CursorResult[Any]]]

_PLACE_IN_HISTORY = ("user_id", "session_id", "session_version")
_SINCE = (
    events.c.occurred_at >= sa.bindparam("since", type_=sa.DateTime(timezone=True)),
    ~sa.exists().where(outbox.c.user_id == events.c.user_id, outbox.c.event_id == events.c.id),
    ~sa.exists().where(
        parked_events.c.user_id == events.c.user_id, parked_events.c.event_id == events.c.id
    ),
)
_COUNT = sa.select(sa.func.count()).select_from(events).where(*_SINCE)
_FIRST_PAGE = (
    sa.select(*EVENT_COLUMNS)
    .where(*_SINCE)
    .order_by(events.c.user_id, events.c.session_id, events.c.session_version)
    .limit(sa.bindparam("page_size", type_=sa.Integer()))
)
_NEXT_PAGE = _FIRST_PAGE.where(
    sa.tuple_(*(events.c[name] for name in _PLACE_IN_HISTORY))
    > sa.tuple_(*(sa.bindparam(name, type_=events.c[name].type) for name in _PLACE_IN_HISTORY))
)

_wanted = rows_given_as("wanted", sa.Column("user_id", sa.Uuid), sa.Column("event_id", sa.Uuid))
_found = one_row(
    sa.select(*EVENT_COLUMNS).where(events.c.user_id == _wanted.c.user_id),
    events.c.id,
    _wanted.c.event_id,
    "found",
)
_PRUNED_BEFORE = sa.select(sa.func.max(prunings.c.events_before))
_BY_KEY = sa.select(*(_found.c[each.name] for each in EVENT_COLUMNS)).select_from(
    _wanted.join(_found, sa.true())
)


async def read_page(
    execute: Execute, since: datetime, page_size: int, behind: OutboxEvent | None
) -> list[OutboxEvent]:
    """Events since then, neither queued nor parked, in the order of their sessions and versions.

    `behind`: the last event of the page before.
    """
    given: dict[str, Any] = {"since": since, "page_size": page_size}
    if behind:
        given |= {name: getattr(behind, name) for name in _PLACE_IN_HISTORY}
    rows = await execute(_NEXT_PAGE if behind else _FIRST_PAGE, given)
    return [OutboxEvent._make(row) for row in rows]


async def count(execute: Execute, since: datetime) -> int:
    """The number of events on all pages."""
    return int((await execute(_COUNT, {"since": since})).scalar_one())


async def pruned_before(execute: Execute) -> datetime | None:
    """The time before which published events may be gone."""
    before: datetime | None = (await execute(_PRUNED_BEFORE, {})).scalar_one()
    return before


async def read_by_key(execute: Execute, keys: Sequence[EventKey]) -> list[OutboxEvent]:
    """Those events that exist."""
    if not keys:
        return []
    return [OutboxEvent._make(row) for row in await execute(_BY_KEY, parameters(_wanted, keys))]

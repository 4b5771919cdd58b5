"""The queue of events for the relay: rows of `outbox` and `parked_events`."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from typing import Any

import asyncpg
import orjson
from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Text,
    Uuid,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    select,
    text,
    tuple_,
)
from sqlalchemy.dialects.postgresql import ARRAY

from service.application.outbox import Backlog, Parked, ParkedEvent, QueuedEvent, RecordedEvent
from service.persistence.errors import translate_commit_errors as translated_commit
from service.persistence.errors import translate_errors as translated
from service.persistence.statements import (
    Connection,
    Statement,
    begin_with,
    connected,
    cut_after,
    milliseconds,
)
from service.persistence.tables import events, outbox, parked_events
from service.persistence.unnest import parameters, rows_given_as

RELAY_ROLE = "session_relay"

LEADERSHIP, TURN = 7_264_110_300_552, 7_264_110_300_553
"""Any numbers, as long as every relay of a database locks the same, and nobody else does."""

PAGE = 500
"""Ordinary rows that fit into a socket's buffers. While a server cannot get rid of its rows it
does not notice that a relay is frozen.
"""

_TOLD = (
    events.c.session_id,
    events.c.session_version,
    events.c.event_type,
    events.c.event_data,
    events.c.occurred_at,
    events.c.request_id,
    events.c.traceparent,
)

_first = select(outbox).order_by(outbox.c.position).limit(bindparam("limit")).subquery("first")
_waits = exists().where(
    parked_events.c.user_id == events.c.user_id, parked_events.c.session_id == events.c.session_id
)
_DECLARE_OLDEST = Statement(
    select(_first.c.position, _first.c.user_id, _first.c.event_id.label("id"), *_TOLD)
    .add_columns(_waits.label("waits"))
    .outerjoin_from(
        _first, events, and_(events.c.user_id == _first.c.user_id, events.c.id == _first.c.event_id)
    )
    .order_by(_first.c.position),
    cursor="oldest",
)
_FETCH_OLDEST = Statement(text(f"FETCH {PAGE} FROM oldest"))
_CLOSE_OLDEST = Statement(text("CLOSE oldest"))

_REMOVE = Statement(
    delete(outbox).where(
        outbox.c.position == func.any(bindparam("positions", type_=ARRAY(BigInteger)))
    )
)

_put_aside = rows_given_as(
    "put_aside",
    Column("position", BigInteger),
    Column("user_id", Uuid),
    Column("event_id", Uuid),
    Column("session_id", Uuid),
    Column("reason", Text),
)
_PARK = Statement(
    insert(parked_events).from_select(
        ["position", "user_id", "event_id", "session_id", "reason", "parked_at"],
        select(*[each for each in _put_aside.c if each.name != "place"], func.now()),
    )
)

_PARKED = Statement(
    select(
        parked_events.c.position,
        parked_events.c.event_id,
        parked_events.c.session_id,
        events.c.event_type,
        parked_events.c.reason,
        parked_events.c.parked_at,
    )
    .outerjoin_from(
        parked_events,
        events,
        and_(events.c.user_id == parked_events.c.user_id, events.c.id == parked_events.c.event_id),
    )
    .order_by(parked_events.c.position)
)

# To the places that they had, so that they go before the later events of their sessions.
_RETRY_PARKED = Statement(
    text("""
    WITH freed AS (DELETE FROM parked_events RETURNING position, user_id, event_id)
    INSERT INTO outbox (position, user_id, event_id) OVERRIDING SYSTEM VALUE
    SELECT position, user_id, event_id FROM freed
    RETURNING position
""")
)

_BACKLOG = Statement(
    select(
        select(func.count()).select_from(outbox).scalar_subquery().label("pending"),
        select(func.count()).select_from(parked_events).scalar_subquery().label("parked"),
    )
)

_PLACE_IN_HISTORY = ("user_id", "session_id", "session_version")
_history = (
    select(events.c.user_id, events.c.id, *_TOLD)
    .where(
        events.c.occurred_at >= bindparam("since", type_=DateTime(timezone=True)),
        ~exists().where(outbox.c.user_id == events.c.user_id, outbox.c.event_id == events.c.id),
        ~exists().where(
            parked_events.c.user_id == events.c.user_id, parked_events.c.event_id == events.c.id
        ),
    )
    .order_by(events.c.user_id, events.c.session_id, events.c.session_version)
    .limit(bindparam("page"))
)
_FIRST_OF_HISTORY = Statement(_history)
_REST_OF_HISTORY = Statement(
    _history.where(
        tuple_(*(events.c[name] for name in _PLACE_IN_HISTORY))
        > tuple_(*(bindparam(name, type_=events.c[name].type) for name in _PLACE_IN_HISTORY))
    )
)


_TRY_TO_LEAD = Statement(text(f"SELECT pg_try_advisory_xact_lock({LEADERSHIP})"))
_TRY_TURN = Statement(text(f"SELECT pg_try_advisory_xact_lock({TURN})"))
_WAIT_FOR_TURN = Statement(text(f"SELECT pg_advisory_xact_lock({TURN})"))
_NOTHING = Statement(text("SELECT"))
_LONG = 24 * 3600.0


class SqlTurn:
    def __init__(self, connection: Connection, cut_after: float) -> None:
        self._connection = connection
        self._cut_after = cut_after

    async def renew(self) -> None:
        await self._rows(_NOTHING)

    async def oldest(self, limit: int) -> list[QueuedEvent]:
        await self._rows(_DECLARE_OLDEST, {"limit": limit})
        queued: list[QueuedEvent] = []
        while len(queued) < limit:
            page = await self._rows(_FETCH_OLDEST)
            queued += [_to_queued(row) for row in page]
            if len(page) < PAGE:
                break
        await self._rows(_CLOSE_OLDEST)  # or its snapshot would hold up vacuum meanwhile
        return queued

    async def remove(self, positions: Sequence[int]) -> None:
        await self._rows(_REMOVE, {"positions": list(positions)})

    async def park(self, parked: Sequence[Parked]) -> None:
        rows = [_put_aside_row(each) for each in parked]
        await self._rows(_PARK, parameters(_put_aside, rows))
        await self.remove([each.queued.position for each in parked])

    async def backlog(self) -> Backlog:
        [row] = await self._rows(_BACKLOG)
        return Backlog(pending=row["pending"], parked=row["parked"])

    async def history(self, since: datetime, page: int) -> AsyncIterator[list[RecordedEvent]]:
        given: dict[str, Any] = {"since": since, "page": page}
        rows = await self._rows(_FIRST_OF_HISTORY, given)
        while rows:
            yield [_to_event(row) for row in rows]
            given |= {name: rows[-1][name] for name in _PLACE_IN_HISTORY}
            rows = await self._rows(_REST_OF_HISTORY, given)

    async def retry_parked(self) -> int:
        return len(await self._rows(_RETRY_PARKED))

    async def commit(self) -> None:
        with translated_commit(), cut_after(self._connection, self._cut_after):
            await self._connection.execute("COMMIT")

    async def _rows(
        self, statement: Statement, given: Mapping[str, Any] | None = None
    ) -> list[asyncpg.Record]:
        with cut_after(self._connection, self._cut_after):
            return await statement.rows(self._connection, given or {})


class Outbox:
    """Opens turns. Times in seconds.

    `lease`: after which the server ends the turn of a process that it hears nothing of.
    """

    def __init__(self, pool: asyncpg.Pool, *, lease: float, statement_timeout: float) -> None:
        self._pool = pool
        self._lease = lease
        self._statement_timeout = statement_timeout
        self._patience = statement_timeout + lease

    def leadership(self) -> AbstractAsyncContextManager[SqlTurn | None]:
        """None where another process leads."""
        return self._locked(_TRY_TO_LEAD)

    def turn(self) -> AbstractAsyncContextManager[SqlTurn | None]:
        """None where another process has its turn."""
        return self._locked(_TRY_TURN)

    @asynccontextmanager
    async def long_turn(self) -> AsyncIterator[SqlTurn]:
        """Waits for its turn; its statements may take as long as they need."""
        async with self._begun(0) as connection:
            await _WAIT_FOR_TURN.rows(connection, {})
            yield SqlTurn(connection, _LONG)

    async def parked(self) -> list[ParkedEvent]:
        async with self._begun(self._statement_timeout) as connection:
            with cut_after(connection, self._patience):
                return [_to_parked(row) for row in await _PARKED.rows(connection, {})]

    @asynccontextmanager
    async def _locked(self, lock: Statement) -> AsyncIterator[SqlTurn | None]:
        async with self._begun(self._statement_timeout) as connection:
            with cut_after(connection, self._patience):
                got = await lock.value(connection, {})
            yield SqlTurn(connection, self._patience) if got else None

    @asynccontextmanager
    async def _begun(self, statement_timeout: float) -> AsyncIterator[Connection]:
        settings = {
            "role": RELAY_ROLE,
            "statement_timeout": milliseconds(statement_timeout),
            "idle_in_transaction_session_timeout": milliseconds(self._lease),
        }
        with translated():
            async with connected(self._pool) as connection:
                with cut_after(connection, self._patience):
                    await connection.execute(begin_with(settings))
                yield connection


def _to_queued(row: asyncpg.Record) -> QueuedEvent:
    return QueuedEvent(
        position=row["position"],
        user_id=row["user_id"],
        event_id=row["id"],
        event=None if row["session_id"] is None else _to_event(row),
        waits=row["waits"],
    )


def _to_event(row: asyncpg.Record) -> RecordedEvent:
    return RecordedEvent(
        id=row["id"],
        user_id=row["user_id"],
        session_id=row["session_id"],
        session_version=row["session_version"],
        type=row["event_type"],
        data=orjson.loads(row["event_data"]),
        occurred_at=row["occurred_at"],
        request_id=row["request_id"],
        traceparent=row["traceparent"],
    )


def _to_parked(row: asyncpg.Record) -> ParkedEvent:
    return ParkedEvent(
        position=row["position"],
        event_id=row["event_id"],
        session_id=row["session_id"],
        type=row["event_type"],
        reason=row["reason"],
        parked_at=row["parked_at"],
    )


def _put_aside_row(parked: Parked) -> tuple[Any, ...]:
    queued = parked.queued
    session_id = queued.event.session_id if queued.event else None
    return queued.position, queued.user_id, queued.event_id, session_id, parked.reason

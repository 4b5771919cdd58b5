"""Opens the relay's transactions: leadership, turns, and the list of parked events."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from service.application.errors import WrongLogin
from service.application.outbox import Backlog, EventKey, OutboxEvent, ParkedEvent
from service.persistence.engine import (
    awaited_transaction,
    cut_after,
    driver_connection,
    milliseconds,
)
from service.persistence.errors import translate_errors
from service.persistence.history import read_by_key, read_page
from service.persistence.relay_turn import SqlTurn
from service.persistence.roles import RELAY_ROLE, problem_of_login
from service.persistence.tables import events, parked_events

LEADERSHIP_LOCK, TURN_LOCK = 7_264_110_300_552, 7_264_110_300_553
"""Keys of advisory locks, the same for all relays of a database; any numbers would do."""

_TRY_TO_LEAD = sa.select(sa.func.pg_try_advisory_xact_lock(LEADERSHIP_LOCK))
_TRY_TURN = sa.select(sa.func.pg_try_advisory_xact_lock(TURN_LOCK))
_WAIT_FOR_TURN = sa.select(sa.func.pg_advisory_xact_lock(TURN_LOCK))

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

LONG_SECONDS = 24 * 3600.0


class Outbox:
    """Opens turns, after it has checked its login once: every turn may raise WrongLogin.

    Times in seconds. `lease`: the server ends the transaction of a relay that has been silent for
    so long.
    """

    def __init__(self, engine: AsyncEngine, *, lease: float, statement_timeout: float) -> None:
        self._engine = engine
        self._lease = lease
        self._statement_timeout = statement_timeout
        self._patience = statement_timeout + lease
        self._is_login_checked = False

    def leadership(self) -> AbstractAsyncContextManager[SqlTurn | None]:
        """None if another process leads."""
        return self._locked_turn(_TRY_TO_LEAD)

    def turn(self) -> AbstractAsyncContextManager[SqlTurn | None]:
        """None if another process has its turn."""
        return self._locked_turn(_TRY_TURN)

    @asynccontextmanager
    async def long_turn(self) -> AsyncIterator[SqlTurn]:
        """Waits for its turn, in which no statement has a time limit."""
        async with self._transaction(0, patience=LONG_SECONDS) as turn:
            await turn.execute(_WAIT_FOR_TURN)
            yield turn

    async def history(self, since: datetime, page_size: int) -> AsyncIterator[list[OutboxEvent]]:
        """Pages as those of a turn, but each in a transaction of its own, and with no lock."""
        page = await self._read_page(since, page_size, None)
        while page:
            yield page
            page = await self._read_page(since, page_size, page[-1])

    async def find(self, keys: Sequence[EventKey]) -> list[OutboxEvent]:
        async with self._short_transaction() as turn:
            return await read_by_key(turn.execute, keys)

    async def backlog(self) -> Backlog:
        async with self._short_transaction() as turn:
            return await turn.backlog()

    async def parked(self) -> list[ParkedEvent]:
        async with self._short_transaction() as turn:
            rows = (await turn.execute(_PARKED)).mappings()
            return [ParkedEvent(**row) for row in rows]

    async def _read_page(
        self, since: datetime, page_size: int, behind: OutboxEvent | None
    ) -> list[OutboxEvent]:
        async with self._transaction(0, patience=LONG_SECONDS) as turn:
            return await read_page(turn.execute, since, page_size, behind)

    @asynccontextmanager
    async def _locked_turn(self, lock: sa.Select[Any]) -> AsyncIterator[SqlTurn | None]:
        async with self._short_transaction() as turn:
            is_locked = (await turn.execute(lock)).scalar()
            yield turn if is_locked else None

    def _short_transaction(self) -> AbstractAsyncContextManager[SqlTurn]:
        return self._transaction(self._statement_timeout, patience=self._patience)

    @asynccontextmanager
    async def _transaction(
        self, statement_timeout: float, *, patience: float
    ) -> AsyncIterator[SqlTurn]:
        settings = {
            "role": RELAY_ROLE,
            "statement_timeout": milliseconds(statement_timeout),
            "idle_in_transaction_session_timeout": milliseconds(self._lease),
        }
        with translate_errors():
            await self._check_login()
            async with awaited_transaction(self._engine, settings) as connection:
                yield SqlTurn(connection, patience)

    async def _check_login(self) -> None:
        """Now and not when the relay starts, because the database may be down then."""
        if self._is_login_checked:
            return
        settings = {"statement_timeout": milliseconds(self._statement_timeout)}
        async with awaited_transaction(self._engine, settings) as connection:
            driver = driver_connection(connection.sync_connection)  # type: ignore[arg-type]  # open
            with cut_after(driver, self._patience):
                problem = await problem_of_login(connection, RELAY_ROLE)
        if problem:
            raise WrongLogin(
                f"The login of the relay {problem}. Give it a login of its own:"
                " python -m service migrate --grant-relay-to LOGIN"
            )
        self._is_login_checked = True

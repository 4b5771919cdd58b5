# SPDX-License-Identifier: MIT
"""Transactions of one role whose statements are awaited one by one, for the relay and operators."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from service.application.errors import WrongLogin
from service.persistence import committing
from service.persistence.committing import CLIENT_MIN_MESSAGES
from service.persistence.driver import cut_after, driver_connection
from service.persistence.errors import translate_commit_errors, translate_errors
from service.persistence.roles import OPTIONS, problem_of_login
from service.persistence.transactions import awaited_transaction, milliseconds, set_locally

LONG_SECONDS = 24 * 3600.0

T = TypeVar("T")

_NOTHING = sa.text("SELECT 1")


class RoleTransaction:
    """`patience`: after so many seconds without an answer the connection is cut."""

    def __init__(self, connection: AsyncConnection, patience: float) -> None:
        self._connection = connection
        self._driver = driver_connection(connection.sync_connection)  # type: ignore[arg-type]  # open
        self._patience = patience

    async def execute(
        self, statement: sa.Executable, given: Mapping[str, Any] | None = None
    ) -> sa.CursorResult[Any]:
        with cut_after(self._driver, self._patience):
            return await self._connection.execute(statement, given)

    async def renew(self) -> None:
        await self.execute(_NOTHING)

    async def commit(self) -> None:
        with translate_commit_errors(), cut_after(self._driver, self._patience):
            await self._connection.commit()

    async def confirm(self) -> None:
        with cut_after(self._driver, self._patience):
            await self._connection.run_sync(committing.confirm)


class RoleTransactions:
    """Opens transactions, after it has checked its login once: each may raise WrongLogin.

    `owner`: whose login it is, in the sentence that refuses it. Times in seconds. `lease`: the
    server ends a transaction whose process has been silent for so long.
    """

    def __init__(
        self, engine: AsyncEngine, role: str, owner: str, *, lease: float, statement_timeout: float
    ) -> None:
        self._engine = engine
        self._role = role
        self._owner = owner
        self._lease = lease
        self._statement_timeout = statement_timeout
        self._is_login_checked = False

    def short(self, kind: Callable[[AsyncConnection, float], T]) -> AbstractAsyncContextManager[T]:
        """A transaction, as this kind of RoleTransaction."""
        patience = self._statement_timeout + self._lease
        return self._open(kind, self._statement_timeout, patience)

    def long(self, kind: Callable[[AsyncConnection, float], T]) -> AbstractAsyncContextManager[T]:
        """No statement has a time limit."""
        return self._open(kind, 0, LONG_SECONDS)

    async def confirm(self) -> None:
        """Waits until the synchronous standbys have what was committed. Raises CommitUnknown."""
        async with self.short(RoleTransaction) as transaction:
            await transaction.confirm()

    @asynccontextmanager
    async def _open(
        self, kind: Callable[[AsyncConnection, float], T], statement_timeout: float, patience: float
    ) -> AsyncIterator[T]:
        settings = {
            "role": self._role,
            "client_min_messages": CLIENT_MIN_MESSAGES,
            "statement_timeout": milliseconds(statement_timeout),
            "idle_in_transaction_session_timeout": milliseconds(self._lease),
        }
        with translate_errors():
            await self._check_login()
            async with awaited_transaction(self._engine, set_locally(settings)) as connection:
                yield kind(connection, patience)

    async def _check_login(self) -> None:
        """Now and not when the process starts, because the database may be down then."""
        if self._is_login_checked:
            return
        settings = {"statement_timeout": milliseconds(self._statement_timeout)}
        async with awaited_transaction(self._engine, set_locally(settings)) as connection:
            driver = driver_connection(connection.sync_connection)  # type: ignore[arg-type]  # open
            with cut_after(driver, self._statement_timeout + self._lease):
                problem = await problem_of_login(connection, self._role)
        if problem:
            raise WrongLogin(
                f"The login of {self._owner} {problem}. Give it a login of its own:"
                f" python -m service migrate {OPTIONS[self._role]} LOGIN"
            )
        self._is_login_checked = True

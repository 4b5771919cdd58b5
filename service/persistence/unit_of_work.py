"""One transaction, committed by name or not at all."""

from collections.abc import Sequence

from sqlalchemy import func, select

from service.application.errors import Contended
from service.application.ports import Change
from service.persistence.errors import translated_commit
from service.persistence.events import SqlEvents, insert_parameters, inserted, queued
from service.persistence.sessions import SqlSessions, created, updated, write_parameters
from service.persistence.statements import Connection, Statement

_created, _updated = created(), updated()
_written = select(_created.c.id).union_all(select(_updated.c.id)).subquery()
_WRITE = Statement(select(func.count()).select_from(_written).add_cte(inserted(), queued()))


class SqlUnitOfWork:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.sessions = SqlSessions(connection)
        self.events = SqlEvents(connection)

    async def save(self, changes: Sequence[Change]) -> None:
        """Sessions, events and outbox in one statement, so that no failure can part them."""
        parameters, expected = write_parameters(changes)
        parameters |= insert_parameters(changes)
        if await _WRITE.value(self._connection, parameters) != expected:
            raise Contended

    async def commit(self) -> None:
        with translated_commit():
            await self._connection.execute("COMMIT")

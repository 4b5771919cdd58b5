"""Reads."""

from uuid import UUID

from service.application.errors import ConnectionLost, DependencyUnavailable, TransactionFailed
from service.application.ports import OpenUnitOfWork
from service.domain.errors import SessionNotFound
from service.domain.session import Session


class Queries:
    def __init__(self, open_unit_of_work: OpenUnitOfWork) -> None:
        self._open_unit_of_work = open_unit_of_work

    async def session(self, user_id: UUID, session_id: UUID) -> Session:
        """Raises SessionNotFound, also for another user's session, and DependencyUnavailable."""
        try:
            session = await self._find_again_if_lost(user_id, session_id)
        except TransactionFailed as exc:
            raise DependencyUnavailable("database") from exc
        if session is None:
            raise SessionNotFound
        return session

    async def _find_again_if_lost(self, user_id: UUID, session_id: UUID) -> Session | None:
        try:
            return await self._find(user_id, session_id)
        except ConnectionLost:  # it was from before the server's restart
            return await self._find(user_id, session_id)

    async def _find(self, user_id: UUID, session_id: UUID) -> Session | None:
        async with self._open_unit_of_work(frozenset({user_id})) as work:
            return await work.sessions.find((user_id, session_id))

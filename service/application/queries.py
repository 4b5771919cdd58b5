"""Reads."""

from uuid import UUID

from service.application.ports import OpenUnitOfWork
from service.domain.errors import SessionNotFound
from service.domain.session import Session


class Queries:
    def __init__(self, open_unit_of_work: OpenUnitOfWork) -> None:
        self._open_unit_of_work = open_unit_of_work

    async def session(self, user_id: UUID, session_id: UUID) -> Session:
        """Raises SessionNotFound, also for another user's session."""
        async with self._open_unit_of_work(frozenset({user_id})) as work:
            session = await work.sessions.find((user_id, session_id))
        if session is None:
            raise SessionNotFound
        return session

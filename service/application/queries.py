"""Reads."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar
from uuid import UUID

from service.application.errors import ConnectionLost, DependencyUnavailable, TransactionFailed
from service.application.ports import Position, Reads, RecordedEvent, SessionFilter
from service.domain.errors import SessionNotFound
from service.domain.session import Session

T = TypeVar("T")
P = TypeVar("P")


@dataclass(frozen=True, slots=True)
class Page(Generic[T, P]):
    """`next`: the position of the last item, where more come after it."""

    items: tuple[T, ...]
    next: P | None


class Queries:
    """Each raises DependencyUnavailable and Overloaded."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads

    async def session(self, user_id: UUID, session_id: UUID) -> Session:
        """Raises SessionNotFound, also for another user's session."""
        session = await _read(lambda: self._reads.session(user_id, session_id))
        if session is None:
            raise SessionNotFound
        return session

    async def sessions(
        self, user_id: UUID, wanted: SessionFilter, *, after: Position | None, limit: int
    ) -> Page[Session, Position]:
        """The newest first; of two of the same date, the one with the greater id."""
        found = await _read(lambda: self._reads.sessions(user_id, wanted, after, limit + 1))
        return _page(found, limit, lambda last: (last.session_date, last.id))

    async def history(
        self, user_id: UUID, session_id: UUID, *, after: int | None, limit: int
    ) -> Page[RecordedEvent, int]:
        """The session's events, the oldest first; the position is the version.

        Raises SessionNotFound, also for another user's session.
        """
        version = after or 0
        found = await _read(lambda: self._reads.history(user_id, session_id, version, limit + 1))
        if found is None:
            raise SessionNotFound
        return _page(found, limit, lambda last: last.session_version)


async def _read(read: Callable[[], Awaitable[T]]) -> T:
    try:
        try:
            return await read()
        except ConnectionLost:  # it was from before the server's restart
            return await read()
    except TransactionFailed as exc:
        raise DependencyUnavailable("database") from exc


def _page(found: list[T], limit: int, position_of: Callable[[T], P]) -> Page[T, P]:
    """`found` has one more than `limit` where there are more."""
    items = tuple(found[:limit])
    return Page(items, position_of(items[-1]) if len(found) > limit else None)

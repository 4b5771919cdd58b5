# SPDX-License-Identifier: MIT
"""Reads. Single sessions are read in groups, lists and histories each in its own transaction."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar
from uuid import UUID

from service.application.errors import (
    ConnectionLost,
    DependencyUnavailable,
    Overloaded,
    TransactionFailed,
)
from service.application.group_commit.pending import (
    ObserveGroup,
    PendingRead,
    RequestTimes,
    WrapGroups,
    ignore_group,
    leave_unwrapped,
)
from service.application.group_commit.scheduler import Scheduler, SchedulerLimits
from service.application.ports import (
    HistoryEvent,
    Position,
    RunRead,
    SessionFilter,
    SessionReader,
)
from service.domain.errors import SessionNotFound
from service.domain.session import Session

T = TypeVar("T")
P = TypeVar("P")


@dataclass(frozen=True, slots=True)
class Page(Generic[T, P]):
    """`next`: the position of the last item, if more items follow it."""

    items: tuple[T, ...]
    next: P | None


class Queries:
    """Every query raises DependencyUnavailable and Overloaded."""

    def __init__(
        self,
        run_read: RunRead,
        limits: SchedulerLimits,
        observe: ObserveGroup = ignore_group,
        wrap: WrapGroups = leave_unwrapped,
    ) -> None:
        self._run_read = run_read
        self._scheduler: Scheduler[PendingRead] = Scheduler(
            self._read_group, limits, observe, wrap=wrap
        )
        self.close = self._scheduler.close

    @property
    def waiting(self) -> int:
        return self._scheduler.waiting

    async def session(
        self,
        user_id: UUID,
        session_id: UUID,
        times: RequestTimes | None = None,
        traceparent: str | None = None,
    ) -> Session:
        """Raises SessionNotFound, also for another user's session."""
        pending = PendingRead(key=(user_id, session_id), traceparent=traceparent)
        self._scheduler.submit(pending)
        session = await pending.timed_answer(times)
        if session is None:
            raise SessionNotFound
        return session

    async def sessions(
        self, user_id: UUID, wanted: SessionFilter, *, after: Position | None, limit: int
    ) -> Page[Session, Position]:
        """Newest first; of two sessions with the same date, the one with the greater id first."""
        found = await self._read(
            user_id, lambda reader: reader.newest(user_id, wanted, after, limit + 1)
        )
        return _page(found, limit, lambda last: (last.session_date, last.id))

    async def history(
        self, user_id: UUID, session_id: UUID, *, after: int | None, limit: int
    ) -> Page[HistoryEvent, int]:
        """The session's events, oldest first; the position is the version.

        Raises SessionNotFound, also for another user's session.
        """
        version = after or 0
        found = await self._read(
            user_id, lambda reader: reader.history(user_id, session_id, version, limit + 1)
        )
        if found is None:
            raise SessionNotFound
        return _page(found, limit, lambda last: last.session_version)

    async def _read_group(self, group: list[PendingRead]) -> list[PendingRead]:
        """Answers every read but those to retry: the connection was lost at their first attempt."""

        def read(reader: SessionReader) -> None:
            found = reader.find({pending.key for pending in group})
            for pending in group:
                pending.settle(found.get(pending.key))

        try:
            users = frozenset(user_id for user_id, _ in (pending.key for pending in group))
            await self._run_read(users, read)
        except (DependencyUnavailable, Overloaded) as exc:
            for pending in group:
                pending.settle(exc.copy())
        except ConnectionLost as exc:  # the connection was older than the server's restart
            _fail([pending for pending in group if pending.retried], exc)
            return [pending for pending in group if not pending.retried]
        except TransactionFailed as exc:
            _fail(group, exc)
        except Exception as exc:  # noqa: BLE001  the callers raise it
            for pending in group:
                pending.settle(exc)
        return []

    async def _read(self, user_id: UUID, read: Callable[[SessionReader], T]) -> T:
        users = frozenset({user_id})
        try:
            try:
                return await self._run_read(users, read)
            except ConnectionLost:
                return await self._run_read(users, read)
        except TransactionFailed as exc:
            raise DependencyUnavailable("database", exc.cause) from exc


def _fail(group: list[PendingRead], cause: TransactionFailed) -> None:
    for pending in group:
        unavailable = DependencyUnavailable("database", cause.cause)
        unavailable.__cause__ = cause
        pending.settle(unavailable)


def _page(found: list[T], limit: int, position_of: Callable[[T], P]) -> Page[T, P]:
    """`found` has one item more than `limit` if there are more."""
    items = tuple(found[:limit])
    return Page(items, position_of(items[-1]) if len(found) > limit else None)

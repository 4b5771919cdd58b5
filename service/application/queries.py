# SPDX-License-Identifier: MIT
"""Reads of sessions, lists and histories, which share transactions as commands do."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar
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
    FindSession,
    HistoryEvent,
    ListSessions,
    Position,
    Read,
    ReadHistory,
    RunRead,
    SessionFilter,
    SessionReader,
)
from service.domain.errors import SessionNotFound
from service.domain.session import Session

T = TypeVar("T")
P = TypeVar("P")
R = TypeVar("R", bound=Read)

GROUP_ROWS_MAX = 1000
"""Most rows that the reads of a group may ask for, besides one for each read.

The next group, and all other work of the process, waits while these rows are made into answers.
"""


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
            self._read_group,
            replace(limits, group_weight_max=GROUP_ROWS_MAX),
            observe,
            wrap=wrap,
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
        request = FindSession(user_id, session_id)
        found: Session | None = await self._read(request, times, traceparent)
        if found is None:
            raise SessionNotFound
        return found

    async def sessions(
        self,
        user_id: UUID,
        wanted: SessionFilter,
        *,
        after: Position | None,
        limit: int,
        times: RequestTimes | None = None,
        traceparent: str | None = None,
    ) -> Page[Session, Position]:
        """Newest first; of two sessions with the same date, the one with the greater id first."""
        request = ListSessions(user_id, wanted, after, limit + 1)
        found: list[Session] = await self._read(request, times, traceparent)
        return _page(found, limit, lambda last: (last.session_date, last.id))

    async def history(
        self,
        user_id: UUID,
        session_id: UUID,
        *,
        after: int | None,
        limit: int,
        times: RequestTimes | None = None,
        traceparent: str | None = None,
    ) -> Page[HistoryEvent, int]:
        """The session's events, oldest first; the position is the version.

        Raises SessionNotFound, also for another user's session.
        """
        request = ReadHistory(user_id, session_id, after or 0, limit + 1)
        found: list[HistoryEvent] | None = await self._read(request, times, traceparent)
        if found is None:
            raise SessionNotFound
        return _page(found, limit, lambda last: last.session_version)

    async def _read(
        self, request: Read, times: RequestTimes | None, traceparent: str | None
    ) -> Any:
        pending = PendingRead(request=request, traceparent=traceparent)
        self._scheduler.submit(pending)
        return await pending.timed_answer(times)

    async def _read_group(self, group: list[PendingRead]) -> list[PendingRead]:
        """Answers what it can; returns the reads to retry. Raises nothing."""
        users = frozenset(pending.user_id for pending in group)
        try:
            await self._run_read(users, lambda reader: _answer(reader, group))
        except (DependencyUnavailable, Overloaded) as exc:
            for pending in group:
                pending.settle(exc.copy())
        except ConnectionLost as exc:  # the connection was older than the server's restart
            _fail(group, exc, is_final=lambda pending: pending.retried)
        except Exception as exc:  # noqa: BLE001  each read meets its own error when it is alone
            _fail(group, exc, is_final=lambda _pending: len(group) == 1)
            for pending in group:
                pending.isolate = True
        return [pending for pending in group if not pending.answer.done()]


def _answer(reader: SessionReader, group: list[PendingRead]) -> None:
    """Single sessions first, so that their callers do not wait for the lists of the group."""
    _answer_kind(group, FindSession, reader.find)
    _answer_kind(group, ListSessions, reader.newest)
    _answer_kind(group, ReadHistory, reader.histories)


def _answer_kind(
    group: list[PendingRead], kind: type[R], read: Callable[[list[R]], Sequence[object]]
) -> None:
    reads = {each: request for each in group if isinstance(request := each.request, kind)}
    if reads:
        for pending, answer in zip(reads, read([*reads.values()]), strict=True):
            pending.settle(answer)


def _fail(
    group: list[PendingRead], exc: Exception, is_final: Callable[[PendingRead], bool]
) -> None:
    """Also notes why a read that is retried failed: it is the answer if no time is left."""
    for pending in group:
        failure = exc
        if isinstance(exc, TransactionFailed):
            failure = pending.refusal = DependencyUnavailable("database", exc.cause)
            failure.__cause__ = exc
        if is_final(pending):
            pending.settle(failure)


def _page(found: list[T], limit: int, position_of: Callable[[T], P]) -> Page[T, P]:
    """`found` has one item more than `limit` if there are more."""
    items = tuple(found[:limit])
    return Page(items, position_of(items[-1]) if len(found) > limit else None)

"""What the relay needs of the database: the events that the world has not been told of yet."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from service.application.commands import SessionKey


class OutboxEvent(NamedTuple):
    """An event as it was committed. A tuple, since a relay makes thousands in a second."""

    id: UUID
    user_id: UUID
    session_id: UUID
    session_version: int
    type: str
    data: Mapping[str, Any]
    occurred_at: datetime
    request_id: str
    traceparent: str | None

    @property
    def session_key(self) -> SessionKey:
        return self.user_id, self.session_id


class QueuedEvent(NamedTuple):
    """A row of the outbox. `event` is None where the event is gone, as with a deleted user.

    `is_blocked`: an earlier event of the same session is parked.
    """

    position: int
    user_id: UUID
    event_id: UUID
    event: OutboxEvent | None
    is_blocked: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EventToPark:
    """An event that was taken out of the queue, and why."""

    queued: QueuedEvent
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedEvent:
    """A parked event as it is shown. `session_id` and `type` are None where the event is gone."""

    position: int
    event_id: UUID
    session_id: UUID | None
    type: str | None
    reason: str
    parked_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """How many events are in the queue, and how many were taken out of it."""

    pending: int
    parked: int


class Leadership(Protocol):
    """What one process has at a time, for as long as a transaction that does nothing else.

    The database ends it when it hears nothing for the lease.
    """

    async def renew(self) -> None:
        """Shows the database that somebody is still there."""


class Turn(Leadership, Protocol):
    """The right to publish a batch, and the transaction that gives it: the leader takes turn after
    turn, and others have theirs in between, to put the queue in order.

    Nothing is kept unless committed.
    """

    async def oldest(self, limit: int) -> Sequence[QueuedEvent]:
        """The first of the queue; those of one session in the order in which they happened."""

    async def remove(self, positions: Sequence[int]) -> None: ...

    async def park(self, parked: Sequence[EventToPark]) -> None:
        """Takes events out of the queue, and keeps them with the reason."""

    async def backlog(self) -> Backlog: ...

    def history(self, since: datetime, page: int) -> AsyncIterator[Sequence[OutboxEvent]]:
        """All events that happened since, but for those that wait in the queue or are parked.

        Those of one session come in order.
        """

    async def retry_parked(self) -> int:
        """Puts parked events back to their places in the queue; returns how many."""

    async def commit(self) -> None: ...


Lead = Callable[[], AbstractAsyncContextManager[Leadership | None]]
"""None where another process leads.

Raises DependencyUnavailable, and from within TransactionFailed.
"""

OpenTurn = Callable[[], AbstractAsyncContextManager[Turn | None]]
"""None where another process has its turn.

Raises DependencyUnavailable, and from within TransactionFailed.
"""

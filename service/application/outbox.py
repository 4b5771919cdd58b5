# SPDX-License-Identifier: MIT
"""The relay's view of the database: events that are not published yet."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from service.application.command import SessionKey

BACKLOG_EXACT_MAX = 10_000

EventKey = tuple[UUID, UUID]
"""The user and the event: ids of events are unique only within a user."""


class OutboxEvent(NamedTuple):
    """A committed event. A tuple, because a relay reads thousands in a second."""

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
    def key(self) -> EventKey:
        return self.user_id, self.id

    @property
    def session_key(self) -> SessionKey:
        return self.user_id, self.session_id


class QueuedEvent(NamedTuple):
    """A row of the outbox. `event` is None if the event was deleted, for example with its user.

    `is_blocked`: an earlier event of the same session is parked.
    """

    position: int
    user_id: UUID
    event_id: UUID
    event: OutboxEvent | None
    is_blocked: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EventToPark:
    """An event to take out of the queue, and the reason."""

    queued: QueuedEvent
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedEvent:
    """A parked event in a list. `session_id` and `type` are None if the event was deleted."""

    position: int
    event_id: UUID
    session_id: UUID | None
    type: str | None
    reason: str
    parked_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """The number of events in the queue, and of parked events.

    Exact up to BACKLOG_EXACT_MAX, so that a long queue does not take long to count: beyond it,
    `pending` counts the gaps between positions too, and `parked` goes no further.
    `oldest_at`: the time of the first event in the queue, unless it was deleted.
    """

    pending: int
    parked: int
    oldest_at: datetime | None


class Leadership(Protocol):
    """A lock that one relay holds, in a transaction of its own.

    The database ends the transaction if the relay is silent for longer than its lease.
    """

    async def renew(self) -> None:
        """Shows the database that the relay is alive."""


class Turn(Leadership, Protocol):
    """A transaction that holds the lock of the queue; rolled back unless committed.

    The leader takes one turn after another; an operator's command takes a turn in between.
    """

    async def oldest(self, limit: int) -> Sequence[QueuedEvent]:
        """The first rows of the queue; events of one session in the order of their versions."""

    async def remove(self, positions: Sequence[int]) -> None: ...

    async def park(self, parked: Sequence[EventToPark]) -> None:
        """Moves events from the queue to the parked events."""

    async def backlog(self) -> Backlog: ...

    async def count(self, since: datetime) -> int:
        """The number of events in `history`."""

    def history(self, since: datetime, page_size: int) -> AsyncIterator[Sequence[OutboxEvent]]:
        """Pages of all events since then that are neither queued nor parked.

        Events of one session come in the order of their versions.
        """

    async def retry_parked(self) -> int:
        """Moves parked events back to their positions in the queue; returns their number."""

    async def commit(self) -> None: ...


class History(Protocol):
    """Committed events, read in short transactions and without the lock of the queue."""

    async def count(self, since: datetime) -> int:
        """The number of events in `history`."""

    def history(self, since: datetime, page_size: int) -> AsyncIterator[Sequence[OutboxEvent]]:
        """Pages as those of a turn."""

    async def find(self, keys: Sequence[EventKey]) -> Sequence[OutboxEvent]:
        """Those of the events that exist, also if they are queued or parked."""

    async def pruned_before(self) -> datetime | None:
        """The time before which published events may be gone."""

    async def backlog(self) -> Backlog: ...


OpenLeadership = Callable[[], AbstractAsyncContextManager[Leadership | None]]
"""None if another process leads. Raises DependencyUnavailable; the block, TransactionFailed."""

OpenTurn = Callable[[], AbstractAsyncContextManager[Turn | None]]
"""None if another process has a turn. Raises as `OpenLeadership` does."""

CountBacklog = Callable[[], Awaitable[Backlog]]
"""In a transaction of its own, without the lock of the queue. Raises as `OpenLeadership` does."""

"""What the application needs from the outside, in its own words."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from service.application.commands import Command, SessionKey
from service.domain.events import SessionEvent
from service.domain.session import Session, SessionStatus

Clock = Callable[[], datetime]
"""The time, with a time zone."""

NewId = Callable[[], UUID]
"""A new id, unlike any other; later ones sort after earlier ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A command, the session as it left it, and what happened, each event with its id."""

    command: Command
    session: Session
    events: tuple[tuple[UUID, SessionEvent], ...]

    @property
    def read_version(self) -> int:
        """The version of the session before the command; 0 where there was none."""
        return self.events[0][1].session_version - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What an idempotency key stands for: a command, and the session as it left it."""

    fingerprint: bytes
    session: Session


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A command, and the event that it may have led to, where the end of a COMMIT is unknown."""

    command: Command
    lost_event: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a command meets: its session, and what its key stands for.

    `active_session_id`: the user's session in progress, looked for where a command claims its user.
    `recorded_at`: the time of its lost event, if that was committed after all.
    """

    session: Session | None
    memory: Memory | None
    active_session_id: UUID | None
    recorded_at: datetime | None


Position = tuple[datetime, UUID]
"""Of a session among the newest first: its date and its id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFilter:
    """No statuses: any. `since` is in, `until` is out; None: no bound."""

    statuses: frozenset[SessionStatus] = frozenset()
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedEvent:
    """An event as it was stored; `data` are the facts of its kind, as JSON."""

    id: UUID
    type: str
    session_version: int
    occurred_at: datetime
    data: dict[str, object]


class Reads(Protocol):
    """Of the rows of one user, who is the first argument; each is one round trip.

    Raise DependencyUnavailable, Overloaded and TransactionFailed.
    """

    async def session(self, user_id: UUID, session_id: UUID) -> Session | None: ...

    async def sessions(
        self, user_id: UUID, wanted: SessionFilter, after: Position | None, limit: int
    ) -> list[Session]:
        """The newest first."""

    async def history(
        self, user_id: UUID, session_id: UUID, after: int, limit: int
    ) -> list[RecordedEvent] | None:
        """The events that led to versions greater than `after`; None where there is no session."""


class UnitOfWork(Protocol):
    """Looks, and writes what is still as it was then; for the users it was opened for."""

    async def look(self, asked: Sequence[Asked]) -> list[Found]:
        """What each command meets, all at the same moment. Nothing is locked."""

    async def save(self, changes: Sequence[Change]) -> set[SessionKey]:
        """Commits sessions, events and outbox; returns the sessions that it had to leave out.

        Those are locked or have changed since, or what their commands claimed has. It waits for
        nobody. Raises Contended, where nothing was written, and CommitUnknown, where nobody can
        say.
        """


OpenUnitOfWork = Callable[[frozenset[UUID]], AbstractAsyncContextManager[UnitOfWork]]
"""Acts for these users and sees nobody else's rows.

Raises DependencyUnavailable or Overloaded, and from within TransactionFailed.
"""

CheckReadiness = Callable[[], Awaitable[Mapping[str, str]]]
"""What is looked at before traffic is taken, each with "ok" or what is wrong with it."""

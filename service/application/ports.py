"""What the application needs from the outside, in its own words."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from service.application.commands import Command, MemoryKey, SessionKey
from service.domain.events import SessionEvent
from service.domain.session import Session, SessionStatus

Clock = Callable[[], datetime]
"""The time, with a time zone."""

NewId = Callable[[], UUID]
"""A new id, unlike any other; later ones sort after earlier ones."""


EventKey = tuple[UUID, UUID]
"""Owner and id."""


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


class Sessions(Protocol):
    async def claim(self, users: Collection[UUID]) -> set[UUID]:
        """Those of the users who are now nobody else's until the unit of work ends.

        Whoever starts a session of a user claims the user first, so that there is one at most.
        """

    async def active(self, users: Collection[UUID]) -> dict[UUID, UUID]:
        """The session in progress of each user who has one."""

    async def lock(self, keys: Collection[SessionKey]) -> dict[SessionKey, Session]:
        """The sessions, locked until the unit of work ends.

        Rows that somebody else has locked are left out like missing ones.
        """

    async def existing(self, keys: Collection[SessionKey]) -> set[SessionKey]: ...


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


class Events(Protocol):
    async def remembered(self, keys: Collection[MemoryKey]) -> Mapping[MemoryKey, Memory]: ...

    async def recorded(self, keys: Collection[EventKey]) -> set[UUID]:
        """The ids of those events that were committed."""


class UnitOfWork(Protocol):
    """One transaction, for the users it was opened for; rolled back unless committed."""

    @property
    def sessions(self) -> Sessions: ...

    @property
    def events(self) -> Events: ...

    async def save(self, changes: Sequence[Change]) -> None:
        """Writes sessions, events and outbox, all or none.

        Raises Contended where a session is no longer as it was read.
        """

    async def commit(self) -> None:
        """Raises CommitUnknown where nobody can say whether it was committed."""


OpenUnitOfWork = Callable[[frozenset[UUID]], AbstractAsyncContextManager[UnitOfWork]]
"""Begins a transaction that acts for these users and sees nobody else's rows.

Raises DependencyUnavailable or Overloaded, and from within TransactionFailed.
"""

CheckReadiness = Callable[[], Awaitable[Mapping[str, str]]]
"""What is looked at before traffic is taken, each with "ok" or what is wrong with it."""

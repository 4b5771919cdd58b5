# SPDX-License-Identifier: MIT
"""What the application needs from outside, as protocols and plain records."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol, TypeVar
from uuid import UUID

from service.application.command import Command
from service.domain.events import SessionEvent
from service.domain.session import Session, SessionStatus

T = TypeVar("T")

Users = frozenset[UUID]

Clock = Callable[[], datetime]
"""The time, in UTC."""

NewId = Callable[[], UUID]
"""A new unique id; later ids sort after earlier ones."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The session after a command. `replayed`: an earlier request executed the command."""

    session: Session
    replayed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedCommand:
    """A command, the session after it, and its events, each with its id."""

    command: Command
    session: Session
    events: tuple[tuple[UUID, SessionEvent], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class IdempotencyRecord:
    """The command that a key was used for, as its fingerprint, and the session after it."""

    fingerprint: bytes
    session: Session


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadRequest:
    """`uncertain_event`: the command's event in an attempt whose COMMIT may have happened."""

    command: Command
    uncertain_event: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedCommand:
    """A command and the state that it meets.

    `must_wait`: another transaction holds the session or the user, so the command must be retried.
    `active_session_id`: the user's session in progress, loaded if the command locks its user.
    `is_committed`: the uncertain event exists, so the earlier attempt was committed.
    """

    command: Command
    session: Session | None
    must_wait: bool
    idempotency_record: IdempotencyRecord | None
    active_session_id: UUID | None
    is_committed: bool


class UnitOfWork(Protocol):
    """One transaction that acts for the users it was opened for; rolled back unless committed."""

    def load(self, requests: Sequence[LoadRequest]) -> list[LoadedCommand]:
        """Locks each command's session, and its user where it needs that, without waiting."""

    def save(self, applied: Sequence[AppliedCommand]) -> None:
        """Writes sessions, events and outbox, all or none. Raises Contended."""

    def commit(self) -> None:
        """Raises CommitUnknown if the connection broke before the server answered, or the server
        stopped waiting for its synchronous standbys.
        """

    def confirm(self) -> None:
        """Ends a transaction that wrote nothing, once what it read is as durable as a commit.

        Raises CommitUnknown.
        """


class RunUnitOfWork(Protocol):
    async def __call__(self, acting_users: Users, work: Callable[[UnitOfWork], T], /) -> T:
        """Runs `work` in a transaction that acts for these users and sees no other user's rows.

        `work` is no coroutine; all the same, other tasks run while it waits for the database.

        Raises DependencyUnavailable, Overloaded, TransactionFailed and UserGone.
        """


Position = tuple[datetime, UUID]
"""A session's place among the newest first: its date and its id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFilter:
    """No statuses: any. `since` is inclusive, `until` exclusive; None: no bound."""

    statuses: frozenset[SessionStatus] = frozenset()
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEvent:
    """An event of a session's history; `data` holds the facts of its kind, as JSON."""

    id: UUID
    type: str
    session_version: int
    occurred_at: datetime
    data: dict[str, object]


class FindSession(NamedTuple):
    user_id: UUID
    session_id: UUID

    @property
    def rows_max(self) -> int:
        return 1


class ListSessions(NamedTuple):
    """The newest sessions of a user, of those that are older than `after`."""

    user_id: UUID
    wanted: SessionFilter
    after: Position | None
    rows_max: int


class ReadHistory(NamedTuple):
    """The oldest events of a session, of those that led to versions greater than `after`."""

    user_id: UUID
    session_id: UUID
    after: int
    rows_max: int


Read = FindSession | ListSessions | ReadHistory


class SessionReader(Protocol):
    """A transaction that reads rows of the users it was opened for.

    Each method is one statement. It gives the answers in the order of the requests, at least one.
    """

    def find(self, requests: Sequence[FindSession]) -> list[Session | None]: ...

    def newest(self, requests: Sequence[ListSessions]) -> list[list[Session]]:
        """Newest first; of two sessions with the same date, the one with the greater id first."""

    def histories(self, requests: Sequence[ReadHistory]) -> list[list[HistoryEvent] | None]:
        """Oldest first; None if there is no such session."""


class RunRead(Protocol):
    async def __call__(self, acting_users: Users, read: Callable[[SessionReader], T], /) -> T:
        """Runs `read` as `RunUnitOfWork` runs `work`."""


@dataclass(frozen=True, slots=True)
class ReadinessReport:
    """`checks`: each by its name, with "ok" or the problem.

    `is_ready`: requests should come; true also if only some of them can be served.
    """

    checks: Mapping[str, str]
    is_ready: bool


CheckReadiness = Callable[[], Awaitable[ReadinessReport]]

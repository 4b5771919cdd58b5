"""What the application needs from the outside, in its own words."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from service.application.commands import Command, MemoryKey, SessionKey
from service.domain.events import SessionEvent
from service.domain.session import Session

Clock = Callable[[], datetime]
"""The time, with a time zone."""

NewId = Callable[[], UUID]
"""A new id, unlike any other; later ones sort after earlier ones."""


EventKey = tuple[UUID, UUID]
"""Owner and id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """An event, the command that led to it, and the session as it left it."""

    event_id: UUID
    event: SessionEvent
    session: Session
    command: Command


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What an idempotency key stands for: a command, and the session as it left it."""

    fingerprint: bytes
    session: Session


class Sessions(Protocol):
    async def find(self, key: SessionKey) -> Session | None: ...

    async def lock(self, keys: Collection[SessionKey]) -> dict[SessionKey, Session]:
        """The sessions, locked until the unit of work ends.

        Rows that somebody else has locked are left out like missing ones.
        """

    async def existing(self, keys: Collection[SessionKey]) -> set[SessionKey]: ...


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

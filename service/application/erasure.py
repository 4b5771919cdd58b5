# SPDX-License-Identifier: MIT
"""The erasure of a user: what it needs of the database, and what it has done."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from service.application.outbox import Leadership


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasedRows:
    """Numbers of deleted rows."""

    sessions: int
    events: int
    queued: int
    parked: int


@dataclass(slots=True)
class Erased:
    """Numbers of what is erased so far; also right after an interruption."""

    sessions: int = 0
    events: int = 0
    queued: int = 0
    parked: int = 0
    messages: int = 0

    def add(self, rows: ErasedRows, messages: int) -> None:
        self.sessions += rows.sessions
        self.events += rows.events
        self.queued += rows.queued
        self.parked += rows.parked
        self.messages += messages


class ErasureTurn(Leadership, Protocol):
    """A transaction that holds the lock of the queue, so that no relay publishes meanwhile.

    Rolled back unless committed.
    """

    async def sessions(self, user_id: UUID, limit: int) -> Sequence[UUID]:
        """Some of the user's sessions."""

    async def erase(self, user_id: UUID, sessions: Sequence[UUID]) -> ErasedRows:
        """Deletes these sessions, their events, and queued and parked events that are gone."""

    async def commit(self) -> None: ...


class Erasure(Protocol):
    async def count_sessions(self, user_id: UUID) -> int: ...

    def turn(self) -> AbstractAsyncContextManager[ErasureTurn]:
        """Waits for the end of a relay's turn."""

    async def confirm(self) -> None:
        """Waits until no failover can bring back what was erased. Raises CommitUnknown."""

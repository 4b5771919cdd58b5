# SPDX-License-Identifier: MIT
"""The base class of commands, and the facts and results that all commands share."""

import hashlib
import json
from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from service.domain.events import SessionEvent
from service.domain.session import Session

SessionKey = tuple[UUID, UUID]
"""Owner and id: the owner is part of a session's identity."""

IdempotencyKey = tuple[UUID, str]
"""Owner and key: two users may use the same key."""

Applied = tuple[Session, tuple[SessionEvent, ...]]
"""The session after a command, and the command's events: none if it changes nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandContext:
    """The facts besides its session that decide a command.

    `active_session_id`: the user's session in progress, known if the command locks its user.
    """

    at: datetime
    active_session_id: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Command(ABC):
    """`creates`: the session does not exist yet, and `session_id` is the id that it gets.

    `traceparent`: the trace that the request belongs to, if any (W3C Trace Context).
    """

    name: ClassVar[str]
    creates: ClassVar[bool] = False

    user_id: UUID
    session_id: UUID
    request_id: str
    traceparent: str | None = None
    idempotency_key: str | None = None

    @abstractmethod
    def apply(self, session: Session | None, context: CommandContext) -> Applied:
        """The session after the command, and the command's events.

        `session` is None if it does not exist; it is not changed. Raises the domain error that
        refuses the command.
        """

    @abstractmethod
    def arguments(self) -> dict[str, object]:
        """The caller's input as JSON, for the fingerprint."""

    @property
    def locks_user(self) -> bool:
        """True if the outcome depends on more than the session's own row.

        Locking that row is then not enough.
        """
        return False

    @property
    def session_key(self) -> SessionKey:
        return self.user_id, self.session_id

    @property
    def record_key(self) -> IdempotencyKey | None:
        return None if self.idempotency_key is None else (self.user_id, self.idempotency_key)

    def fingerprint(self) -> bytes:
        """SHA-256 of the command's name, session and arguments.

        Without the session's id if the command creates it: a retry brings another id.
        """
        session_id = None if self.creates else str(self.session_id)
        identity = [self.name, session_id, self.arguments()]
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).digest()

"""What a user can ask of a session, in the imperative."""

import hashlib
import json
from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from service.domain.events import SessionEvent
from service.domain.reason import Reason
from service.domain.session import Session

SessionKey = tuple[UUID, UUID]
"""Owner and id: whose session it is belongs to its identity."""

MemoryKey = tuple[UUID, str]
"""Owner and idempotency key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command(ABC):
    """`if_match` holds the versions that the caller accepts; None accepts any.

    `traceparent` says which trace the request belongs to, if any (W3C Trace Context).
    """

    name: ClassVar[str]

    user_id: UUID
    session_id: UUID
    request_id: str
    traceparent: str | None = None
    idempotency_key: str | None = None
    if_match: frozenset[int] | None = None

    @abstractmethod
    def apply(self, session: Session, *, at: datetime) -> SessionEvent: ...

    @abstractmethod
    def arguments(self) -> dict[str, object]:
        """What the user asked for, as JSON: what makes two commands the same."""

    @property
    def session_key(self) -> SessionKey:
        return self.user_id, self.session_id

    @property
    def memory_key(self) -> MemoryKey | None:
        return None if self.idempotency_key is None else (self.user_id, self.idempotency_key)

    def fingerprint(self) -> bytes:
        """SHA-256 of the command's name, session and arguments."""
        asked = [self.name, str(self.session_id), self.arguments()]
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class FailSession(Command):
    """Records that a training was interrupted.

    - Only a session in progress can fail; failed is final.
    - The reason goes into the event, never into the session.
    - Sets, rpe and notes stay as they were.
    """

    name = "fail_session"

    reason: Reason | None = None

    def apply(self, session: Session, *, at: datetime) -> SessionEvent:
        return session.fail(self.reason, at=at)

    def arguments(self) -> dict[str, object]:
        return {"reason": self.reason.text if self.reason else None}

"""What a user can ask of a session, in the imperative."""

import hashlib
import json
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from service.domain.errors import PreconditionFailed, SessionNotFound
from service.domain.events import SessionEvent
from service.domain.session import Session
from service.domain.text import Notes, Reason

SessionKey = tuple[UUID, UUID]
"""Owner and id: whose session it is belongs to its identity."""

MemoryKey = tuple[UUID, str]
"""Owner and idempotency key."""

Done = tuple[Session, tuple[SessionEvent, ...]]
"""The session after a command, and what happened to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What else a command meets than its session.

    `active_session_id`: the user's session in progress, known where a command claims its user.
    """

    at: datetime
    active_session_id: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Command(ABC):
    """`creates`: the session does not exist yet, and `session_id` is the id that it gets.

    `traceparent` says which trace the request belongs to, if any (W3C Trace Context).
    """

    name: ClassVar[str]
    creates: ClassVar[bool] = False

    user_id: UUID
    session_id: UUID
    request_id: str
    traceparent: str | None = None
    idempotency_key: str | None = None

    @abstractmethod
    def apply(self, session: Session | None, situation: Situation) -> Done:
        """Leaves the given session, None where there is none, as it is.

        Raises the domain error that refuses the command.
        """

    @abstractmethod
    def arguments(self) -> dict[str, object]:
        """What the user asked for, as JSON: what makes two commands the same."""

    @property
    def claims_user(self) -> bool:
        """Whether the outcome hangs on more than one row of the user, which no row's lock holds."""
        return False

    @property
    def session_key(self) -> SessionKey:
        return self.user_id, self.session_id

    @property
    def memory_key(self) -> MemoryKey | None:
        return None if self.idempotency_key is None else (self.user_id, self.idempotency_key)

    def fingerprint(self) -> bytes:
        """SHA-256 of the command's name, session and arguments.

        A retry of a command that creates its session would give it another id.
        """
        session_id = None if self.creates else str(self.session_id)
        asked = [self.name, session_id, self.arguments()]
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanSession(Command):
    """Makes a session, which is planned, or with `start_now` in progress at once.

    - Without a date it is for the time at which it is planned.
    - A user has one session in progress at most.
    """

    name = "plan_session"
    creates = True

    session_date: datetime | None = None
    sets: tuple[int | None, ...] = ()
    notes: Notes | None = None
    start_now: bool = False

    def apply(self, _session: Session | None, situation: Situation) -> Done:
        at = situation.at
        session, planned = Session.plan(
            user_id=self.user_id,
            session_id=self.session_id,
            session_date=self.session_date or at,
            sets=self.sets,
            notes=self.notes,
            at=at,
        )
        if not self.start_now:
            return session, (planned,)
        started = session.start(at=at, active_session_id=situation.active_session_id)
        return session, (planned, started)

    def arguments(self) -> dict[str, object]:
        return {
            "sessionDate": self.session_date.isoformat() if self.session_date else None,
            "sets": self.sets,
            "notes": self.notes.text if self.notes else None,
            "startNow": self.start_now,
        }

    @property
    def claims_user(self) -> bool:
        """With a key, since two at once have no row in common by which one would be told."""
        return self.start_now or self.idempotency_key is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeSession(Command):
    """A command to a session that exists.

    `if_match` holds the versions that the caller accepts; None accepts any.
    """

    if_match: frozenset[int] | None = None

    def apply(self, session: Session | None, situation: Situation) -> Done:
        if session is None:
            raise SessionNotFound
        after = replace(session)
        event = self.change(after, situation)
        if self.if_match is not None and session.version not in self.if_match:
            raise PreconditionFailed(self.session_id)
        return after, (event,)

    @abstractmethod
    def change(self, session: Session, situation: Situation) -> SessionEvent: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StartSession(ChangeSession):
    """Records that a planned training has begun.

    - A user has one session in progress at most.
    """

    name = "start_session"

    def change(self, session: Session, situation: Situation) -> SessionEvent:
        return session.start(at=situation.at, active_session_id=situation.active_session_id)

    def arguments(self) -> dict[str, object]:
        return {}

    @property
    def claims_user(self) -> bool:
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class CompleteSession(ChangeSession):
    """Records that a training came to its end.

    - Only a session in progress can be completed; completed is final.
    - Given sets and rpe replace what is there, None leaves it.
    - At least one repetition was done.
    """

    name = "complete_session"

    sets: tuple[int | None, ...] | None = None
    rpe: int | None = None

    def change(self, session: Session, situation: Situation) -> SessionEvent:
        return session.complete(at=situation.at, sets=self.sets, rpe=self.rpe)

    def arguments(self) -> dict[str, object]:
        return {"sets": self.sets, "rpe": self.rpe}


@dataclass(frozen=True, slots=True, kw_only=True)
class FailSession(ChangeSession):
    """Records that a training was interrupted.

    - Only a session in progress can fail; failed is final.
    - The reason goes into the event, never into the session.
    - Sets, rpe and notes stay as they were.
    """

    name = "fail_session"

    reason: Reason | None = None

    def change(self, session: Session, situation: Situation) -> SessionEvent:
        return session.fail(self.reason, at=situation.at)

    def arguments(self) -> dict[str, object]:
        return {"reason": self.reason.text if self.reason else None}

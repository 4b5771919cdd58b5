# SPDX-License-Identifier: MIT
"""The commands to sessions, in the imperative."""

from abc import abstractmethod
from dataclasses import dataclass, replace
from datetime import datetime

from service.application.command import Applied, Command, CommandContext
from service.domain.errors import PreconditionFailed, SessionNotFound
from service.domain.events import SessionEvent
from service.domain.session import Session, SessionChanges
from service.domain.text import Notes, Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanSession(Command):
    """Creates a session: planned, or with `start_now` in progress at once.

    - Without a date, the session's date is the time of the command.
    - A user has at most one session in progress.
    """

    name = "plan_session"
    creates = True

    session_date: datetime | None = None
    sets: tuple[int | None, ...] = ()
    notes: Notes | None = None
    start_now: bool = False

    def apply(self, _session: Session | None, context: CommandContext) -> Applied:
        at = context.at
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
        started = session.start(at=at, active_session_id=context.active_session_id)
        return session, (planned, started)

    def arguments(self) -> dict[str, object]:
        return {
            "sessionDate": self.session_date.isoformat() if self.session_date else None,
            "sets": self.sets,
            "notes": self.notes.text if self.notes else None,
            "startNow": self.start_now,
        }

    @property
    def locks_user(self) -> bool:
        """Also with a key: two requests with the same key have no row in common to lock."""
        return self.start_now or self.idempotency_key is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeSession(Command):
    """A command to an existing session.

    `if_match` holds the versions that the caller accepts; None accepts any.
    """

    if_match: frozenset[int] | None = None

    def apply(self, session: Session | None, context: CommandContext) -> Applied:
        if session is None:
            raise SessionNotFound
        after = replace(session)
        event = self.change(after, context)  # first: a wrong status says more than an old version
        if self.if_match is not None and session.version not in self.if_match:
            raise PreconditionFailed(self.session_id, current_version=session.version)
        return after, (event,) if event else ()

    @abstractmethod
    def change(self, session: Session, context: CommandContext) -> SessionEvent | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateSession(ChangeSession):
    """Records what was trained so far, or changes the plan.

    - Only a planned session or one in progress can be updated, so that an interrupted training
      keeps the sets that were done.
    - Given values replace the session's; the others stay.
    - The date can only change while the session is planned.
    - An update that changes nothing has no event, and so no idempotency record.
    """

    name = "update_session"

    changes: SessionChanges

    def change(self, session: Session, context: CommandContext) -> SessionEvent | None:
        return session.update(self.changes, at=context.at)

    def arguments(self) -> dict[str, object]:
        values: dict[str, object] = {**self.changes}
        values.pop("session_date", None)
        date = self.changes.get("session_date")
        return values | ({"sessionDate": date.isoformat()} if date else {})


@dataclass(frozen=True, slots=True, kw_only=True)
class StartSession(ChangeSession):
    """Records that a planned training has begun.

    - Only a planned session can start.
    - A user has at most one session in progress.
    """

    name = "start_session"

    def change(self, session: Session, context: CommandContext) -> SessionEvent:
        return session.start(at=context.at, active_session_id=context.active_session_id)

    def arguments(self) -> dict[str, object]:
        return {}

    @property
    def locks_user(self) -> bool:
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class CompleteSession(ChangeSession):
    """Records that a training was completed.

    - Only a session in progress can be completed; completed is final.
    - Given sets and rpe replace the session's; None leaves them.
    - A completed session has at least one repetition.
    """

    name = "complete_session"

    sets: tuple[int | None, ...] | None = None
    rpe: int | None = None

    def change(self, session: Session, context: CommandContext) -> SessionEvent:
        return session.complete(at=context.at, sets=self.sets, rpe=self.rpe)

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

    def change(self, session: Session, context: CommandContext) -> SessionEvent:
        return session.fail(self.reason, at=context.at)

    def arguments(self) -> dict[str, object]:
        return {"reason": self.reason.text if self.reason else None}

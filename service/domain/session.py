# SPDX-License-Identifier: MIT
"""The training session: the only place that decides which transitions are allowed."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Self, TypedDict
from uuid import UUID

from service.domain.errors import ActiveSessionExists, NoRepetitions, StatusTooEarly, StatusTooLate
from service.domain.events import (
    SessionCompleted,
    SessionFailed,
    SessionPlanned,
    SessionStarted,
    SessionUpdated,
)
from service.domain.text import Notes, Reason

SETS_MAX = 20
REPETITIONS_MAX = 1000
RPE_MAX = 10


class SessionStatus(StrEnum):
    """In the order in which a session first gets them; the last two are final."""

    PLANNED = "planned"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"


REQUIRED_STATUS = {
    "update": (SessionStatus.IN_PROGRESS, SessionStatus.PLANNED),
    "move": (SessionStatus.PLANNED,),
    "start": (SessionStatus.PLANNED,),
    "complete": (SessionStatus.IN_PROGRESS,),
    "fail": (SessionStatus.IN_PROGRESS,),
}
"""The statuses in which a session accepts each change; a refusal names the first.

`move` is an update that gives the session another date.
"""

_LIFE = tuple(SessionStatus)


class SessionChanges(TypedDict, total=False):
    """New values of a session; those that are not given stay as they are."""

    session_date: datetime
    sets: tuple[int | None, ...]
    rpe: int | None
    notes: str | None


class _EventFacts(TypedDict):
    user_id: UUID
    session_id: UUID
    session_version: int
    occurred_at: datetime


@dataclass(slots=True, kw_only=True)
class Session:
    """`sets` holds the repetitions of each set, None for a set that was not done."""

    user_id: UUID
    id: UUID
    status: SessionStatus
    session_date: datetime
    started_at: datetime | None
    ended_at: datetime | None
    sets: tuple[int | None, ...]
    rpe: int | None
    notes: str | None
    version: int
    created_at: datetime
    updated_at: datetime

    @property
    def total_reps(self) -> int:
        return sum(repetitions or 0 for repetitions in self.sets)

    @classmethod
    def plan(
        cls,
        *,
        user_id: UUID,
        session_id: UUID,
        session_date: datetime,
        sets: tuple[int | None, ...] = (),
        notes: Notes | None = None,
        at: datetime,
    ) -> tuple[Self, SessionPlanned]:
        session = cls(
            user_id=user_id,
            id=session_id,
            status=SessionStatus.PLANNED,
            session_date=session_date,
            started_at=None,
            ended_at=None,
            sets=sets,
            rpe=None,
            notes=notes.text if notes else None,
            version=0,
            created_at=at,
            updated_at=at,
        )
        facts = session._become(SessionStatus.PLANNED, at)
        return session, SessionPlanned(**facts, session_date=session_date)

    def update(self, changes: SessionChanges, *, at: datetime) -> SessionUpdated | None:
        """Records what was trained so far, or another plan; the status stays.

        Returns None if all given values are the session's already; then nothing has changed.
        """
        self._require_status_for("update")
        changed = {name: to for name, to in changes.items() if to != getattr(self, name)}
        if "session_date" in changed:
            self._require_status_for("move")
        if not changed:
            return None
        facts = self._become(self.status, at)
        for name, value in changed.items():
            setattr(self, name, value)
        return SessionUpdated(
            **facts,
            session_date=self.session_date,
            sets=self.sets,
            total_reps=self.total_reps,
            rpe=self.rpe,
            notes=self.notes,
        )

    def start(self, *, at: datetime, active_session_id: UUID | None = None) -> SessionStarted:
        """`active_session_id`: the user's session in progress, if there is one."""
        self._require_status_for("start")
        if active_session_id is not None:
            raise ActiveSessionExists(active_session_id)
        facts = self._become(SessionStatus.IN_PROGRESS, at)
        self.started_at = at
        return SessionStarted(**facts)

    def complete(
        self, *, at: datetime, sets: tuple[int | None, ...] | None = None, rpe: int | None = None
    ) -> SessionCompleted:
        """Given `sets` and `rpe` replace those of the session; None keeps them."""
        self._require_status_for("complete")
        sets = self.sets if sets is None else sets
        if not any(sets):
            raise NoRepetitions(self.id)
        facts = self._become(SessionStatus.COMPLETED, at)
        self.ended_at = at
        self.sets = sets
        self.rpe = self.rpe if rpe is None else rpe
        return SessionCompleted(**facts, sets=sets, total_reps=self.total_reps, rpe=self.rpe)

    def fail(self, reason: Reason | None, *, at: datetime) -> SessionFailed:
        """The reason goes into the event alone; sets, rpe and notes stay as they were."""
        self._require_status_for("fail")
        facts = self._become(SessionStatus.FAILED, at)
        self.ended_at = at
        return SessionFailed(**facts, reason=reason.text if reason else None)

    def _require_status_for(self, change: str) -> None:
        accepted = REQUIRED_STATUS[change]
        if self.status in accepted:
            return
        too_early = _LIFE.index(self.status) < min(map(_LIFE.index, accepted))
        refusal = StatusTooEarly if too_early else StatusTooLate
        raise refusal(self.id, current=self.status, required=accepted[0])

    def _become(self, target: SessionStatus, at: datetime) -> _EventFacts:
        if at.tzinfo is None:
            raise ValueError("the time of an event needs a time zone")
        self.status = target
        self.version += 1
        self.updated_at = at
        return {
            "user_id": self.user_id,
            "session_id": self.id,
            "session_version": self.version,
            "occurred_at": at,
        }

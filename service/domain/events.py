# SPDX-License-Identifier: MIT
"""Events of a session, named in the past tense."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionEvent:
    """`session_version` is the version of the session that the event led to."""

    type: ClassVar[str]
    """`session_`, and the name of the kind in subjects and metrics."""

    user_id: UUID
    session_id: UUID
    session_version: int
    occurred_at: datetime

    def data(self) -> dict[str, object]:
        """The facts of this kind of event, as JSON."""
        return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPlanned(SessionEvent):
    type = "session_planned"

    session_date: datetime

    def data(self) -> dict[str, object]:
        return {"sessionDate": _in_utc(self.session_date)}


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionUpdated(SessionEvent):
    """Holds the values after the change, those that stayed included."""

    type = "session_updated"

    session_date: datetime
    sets: tuple[int | None, ...]
    total_reps: int
    rpe: int | None
    notes: str | None

    def data(self) -> dict[str, object]:
        return {
            "sets": list(self.sets),
            "totalReps": self.total_reps,
            "rpe": self.rpe,
            "notes": self.notes,
            "sessionDate": _in_utc(self.session_date),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionStarted(SessionEvent):
    type = "session_started"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionCompleted(SessionEvent):
    type = "session_completed"

    sets: tuple[int | None, ...]
    total_reps: int
    rpe: int | None

    def data(self) -> dict[str, object]:
        return {"sets": list(self.sets), "totalReps": self.total_reps, "rpe": self.rpe}


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFailed(SessionEvent):
    type = "session_failed"

    reason: str | None

    def data(self) -> dict[str, object]:
        return {"reason": self.reason}


EVENTS = (SessionPlanned, SessionStarted, SessionUpdated, SessionCompleted, SessionFailed)
"""All kinds. A session may have several events of a kind."""


def _in_utc(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")

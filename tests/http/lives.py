"""Whole lives of sessions as the contract promises them, in plain terms: the model."""

from dataclasses import dataclass, field
from typing import Any

ENDS = {"start": "in_progress", "complete": "completed", "fail": "failed"}
REQUIRED = {"start": "planned", "complete": "in_progress", "fail": "in_progress"}
ORDER = ["planned", "in_progress", "completed", "failed"]

Expected = tuple[int, str | None]
"""The status of the answer, and the error's code where it is one."""


@dataclass
class Life:
    """A session, as its JSON has it but for the times of its changes, and what happened to it."""

    id: str
    date: str
    sets: list[int | None]
    notes: str | None
    status: str = "planned"
    rpe: int | None = None
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    content: bytes = b""

    @property
    def version(self) -> int:
        return len(self.events)

    @property
    def total_reps(self) -> int:
        return sum(reps or 0 for reps in self.sets)

    def happened(self, kind: str, data: dict[str, Any]) -> None:
        self.events.append((kind, data))

    def do(self, verb: str, body: dict[str, Any]) -> None:
        self.status = ENDS[verb]
        if verb == "complete":
            self.sets = body.get("sets", self.sets)
            self.rpe = body.get("rpe", self.rpe)
            facts = {"sets": self.sets, "totalReps": self.total_reps, "rpe": self.rpe}
            self.happened("session_completed", facts)
        elif verb == "fail":
            self.happened("session_failed", {"reason": body.get("reason")})
        else:
            self.happened("session_started", {})

    def dto(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "status": self.status,
            "sessionDate": self.date,
            "sets": self.sets,
            "totalReps": self.total_reps,
            "rpe": self.rpe,
            "notes": self.notes,
        }


@dataclass
class Person:
    """Their sessions, and for each idempotency key what was asked and answered."""

    sessions: dict[str, Life] = field(default_factory=dict)
    keys: dict[str, tuple[Any, bytes]] = field(default_factory=dict)

    @property
    def active(self) -> Life | None:
        return next((each for each in self.sessions.values() if each.status == ENDS["start"]), None)

    def answer_to_plan(self, body: dict[str, Any]) -> Expected:
        if body.get("startNow") and self.active:
            return 409, "ACTIVE_SESSION_EXISTS"
        return 201, None

    def answer_to(
        self, verb: str, session_id: str, body: dict[str, Any], if_match: int | None
    ) -> Expected:
        life = self.sessions.get(session_id)
        if life is None:
            return 404, "SESSION_NOT_FOUND"
        if life.status != REQUIRED[verb]:
            early = ORDER.index(life.status) < ORDER.index(REQUIRED[verb])
            return (422 if early else 409), "INVALID_STATUS"
        if verb == "start" and self.active:
            return 409, "ACTIVE_SESSION_EXISTS"
        if verb == "complete" and not any(body.get("sets", life.sets)):
            return 422, "NO_REPETITIONS"
        if if_match not in (None, life.version):
            return 412, "PRECONDITION_FAILED"
        return 200, None

    def listed(self, statuses: list[str], since: str | None, until: str | None) -> list[Life]:
        wanted = [
            life
            for life in self.sessions.values()
            if (not statuses or life.status in statuses)
            and (since is None or life.date >= since)
            and (until is None or life.date < until)
        ]
        return sorted(wanted, key=lambda life: (life.date, life.id), reverse=True)

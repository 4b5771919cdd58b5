# SPDX-License-Identifier: MIT
"""The model: whole lives of sessions as the contract promises them."""

from dataclasses import dataclass, field
from typing import Any

from tests.contract import BECOMES, RECORDED, REQUIRED, STARTS, is_too_early

Expected = tuple[int, str | None]
"""The status of the answer, and the code if the answer is an error."""


@dataclass
class Life:
    """A session with the fields of its JSON, without times of changes, and its events."""

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

    def record(self, kind: str, data: dict[str, Any]) -> None:
        self.events.append((kind, data))

    def is_changed_by(self, verb: str, body: dict[str, Any]) -> bool:
        return verb != "update" or self.dto() | body != self.dto()

    def execute(self, verb: str, body: dict[str, Any]) -> None:
        if verb == "update":
            self.date = body.get("sessionDate", self.date)
            self.sets = body.get("sets", self.sets)
            self.rpe = body.get("rpe", self.rpe)
            self.notes = body.get("notes", self.notes)
            names = ("sets", "totalReps", "rpe", "notes", "sessionDate")
            self.record(RECORDED[verb], {name: self.dto()[name] for name in names})
            return
        self.status = BECOMES[verb]
        facts: dict[str, Any] = {}
        if verb == "complete":
            self.sets = body.get("sets", self.sets)
            self.rpe = body.get("rpe", self.rpe)
            facts = {"sets": self.sets, "totalReps": self.total_reps, "rpe": self.rpe}
        elif verb == "fail":
            facts = {"reason": body.get("reason")}
        self.record(RECORDED[verb], facts)

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
    """A user's sessions, and the request and answer of each idempotency key."""

    sessions: dict[str, Life] = field(default_factory=dict)
    keys: dict[str, tuple[Any, bytes]] = field(default_factory=dict)

    @property
    def active(self) -> Life | None:
        return next(
            (each for each in self.sessions.values() if each.status == BECOMES["start"]), None
        )

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
        if refused := self._refuses_status(life, verb, body):
            return refused, "INVALID_STATUS"
        if verb in STARTS and self.active:
            return 409, "ACTIVE_SESSION_EXISTS"
        if verb == "complete" and not any(body.get("sets", life.sets)):
            return 422, "NO_REPETITIONS"
        if if_match not in (None, life.version):
            return 412, "PRECONDITION_FAILED"
        return 200, None

    def _refuses_status(self, life: Life, verb: str, body: dict[str, Any]) -> int | None:
        if verb == "update" and body.get("sessionDate", life.date) != life.date:
            verb = "move"
        if life.status in REQUIRED[verb]:
            return None
        return 422 if is_too_early(life.status, verb) else 409

    def listed(self, statuses: list[str], since: str | None, until: str | None) -> list[Life]:
        wanted = [
            life
            for life in self.sessions.values()
            if (not statuses or life.status in statuses)
            and (since is None or life.date >= since)
            and (until is None or life.date < until)
        ]
        return sorted(wanted, key=lambda life: (life.date, life.id), reverse=True)

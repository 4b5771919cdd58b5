# SPDX-License-Identifier: MIT
"""What each command makes of a session: new values, and the event that records them. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

import asyncpg

from benchmarks.contenders.contract import normal_text, require_repetitions, require_status
from benchmarks.contenders.schemas import CompleteSession, FailSession, UpdateSession

Row: TypeAlias = asyncpg.Record


@dataclass(frozen=True, slots=True)
class Event:
    type: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    values: dict[str, Any]
    event: Event


Decide: TypeAlias = Callable[[Row, datetime], Change | None]
"""Raises Refused; returns None if nothing changes."""


@dataclass(frozen=True, slots=True)
class Command:
    """`asked`: what its fingerprint is made of."""

    name: str
    asked: Any
    decide: Decide


def start() -> Command:
    def decide(row: Row, now: datetime) -> Change:
        require_status(row["id"], row["status"], "planned")
        values = {"status": "in_progress", "started_at": now}
        return Change(values, Event("session_started", {}))

    return Command("start", {}, decide)


def fail(body: FailSession) -> Command:
    data = {"reason": normal_text(body.reason, "REASON")}

    def decide(row: Row, now: datetime) -> Change:
        require_status(row["id"], row["status"], "in_progress")
        return Change({"status": "failed", "ended_at": now}, Event("session_failed", data))

    return Command("fail", data, decide)


def complete(body: CompleteSession) -> Command:
    def decide(row: Row, now: datetime) -> Change:
        require_status(row["id"], row["status"], "in_progress")
        sets = row["sets"] if body.sets is None else body.sets
        rpe = row["rpe"] if body.rpe is None else body.rpe
        require_repetitions(row["id"], sets)
        data = {"sets": sets, "totalReps": total_reps(sets), "rpe": rpe}
        values = {"status": "completed", "ended_at": now, "sets": sets, "rpe": rpe}
        return Change(values, Event("session_completed", data))

    return Command("complete", body.model_dump(mode="json"), decide)


def update(body: UpdateSession) -> Command:
    given = body.changes()

    def decide(row: Row, _now: datetime) -> Change | None:
        require_status(row["id"], row["status"], "in_progress", "planned")
        changed = {name: value for name, value in given.items() if value != row[name]}
        if "session_date" in changed:
            require_status(row["id"], row["status"], "planned")
        if not changed:
            return None
        after = {**row, **changed}
        data = {
            "sets": after["sets"],
            "totalReps": total_reps(after["sets"]),
            "rpe": after["rpe"],
            "notes": after["notes"],
            "sessionDate": after["session_date"],
        }
        return Change(changed, Event("session_updated", data))

    return Command("update", body.model_dump(mode="json", exclude_unset=True), decide)


def total_reps(sets: list[int | None]) -> int:
    return sum(repetitions or 0 for repetitions in sets)

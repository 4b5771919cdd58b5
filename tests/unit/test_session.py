# SPDX-License-Identifier: MIT
"""Every transition from every status."""

import time
from collections.abc import Callable
from copy import copy
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import uuid4

import pytest

from service.domain.errors import (
    ActiveSessionExists,
    InvalidStatus,
    NoRepetitions,
    StatusTooEarly,
    StatusTooLate,
)
from service.domain.events import SessionCompleted, SessionEvent, SessionFailed, SessionStarted
from service.domain.session import REQUIRED_STATUS, Session, SessionStatus
from service.domain.text import Notes, Reason
from tests.builders import A_MINUTE, MORNING, a_session

PLANNED, IN_PROGRESS = SessionStatus.PLANNED, SessionStatus.IN_PROGRESS
COMPLETED, FAILED = SessionStatus.COMPLETED, SessionStatus.FAILED
LATER = MORNING + A_MINUTE

CHANGES: dict[str, Callable[..., SessionEvent | None]] = {
    "update": lambda session, at: session.update({"rpe": 9}, at=at),
    "move": lambda session, at: session.update({"session_date": LATER}, at=at),
    "start": Session.start,
    "complete": Session.complete,
    "fail": lambda session, at: session.fail(Reason("knee hurts"), at=at),
}
TRANSITIONS = [
    (PLANNED, "start", IN_PROGRESS),
    (IN_PROGRESS, "complete", COMPLETED),
    (IN_PROGRESS, "fail", FAILED),
]
UPDATES = [(PLANNED, "update"), (PLANNED, "move"), (IN_PROGRESS, "update")]
TOO_EARLY = [(PLANNED, "complete", IN_PROGRESS), (PLANNED, "fail", IN_PROGRESS)]
TOO_LATE = [
    (IN_PROGRESS, "move", PLANNED),
    (IN_PROGRESS, "start", PLANNED),
    (COMPLETED, "update", IN_PROGRESS),
    (COMPLETED, "move", IN_PROGRESS),
    (COMPLETED, "start", PLANNED),
    (COMPLETED, "complete", IN_PROGRESS),
    (COMPLETED, "fail", IN_PROGRESS),
    (FAILED, "update", IN_PROGRESS),
    (FAILED, "move", IN_PROGRESS),
    (FAILED, "start", PLANNED),
    (FAILED, "complete", IN_PROGRESS),
    (FAILED, "fail", IN_PROGRESS),
]
"""With the status that the refusal requires."""
REFUSED = [(*each, StatusTooEarly) for each in TOO_EARLY] + [
    (*each, StatusTooLate) for each in TOO_LATE
]


def test_the_cases_are_every_change_in_every_status() -> None:
    cases = [each[:2] for each in (*TRANSITIONS, *UPDATES, *TOO_EARLY, *TOO_LATE)]
    assert sorted(cases) == sorted(
        (status, change) for status in SessionStatus for change in CHANGES
    )
    assert CHANGES.keys() == REQUIRED_STATUS.keys()


@pytest.mark.parametrize(("source", "change", "target"), TRANSITIONS)
def test_an_allowed_transition_returns_the_new_session_and_its_event(
    source: SessionStatus, change: str, target: SessionStatus
) -> None:
    session = a_session(status=source, version=4)
    before = copy(session)

    event = CHANGES[change](session, at=LATER)

    assert event
    assert session.status is target
    assert (session.version, session.updated_at) == (5, LATER)
    assert (event.user_id, event.session_id) == (session.user_id, session.id)
    assert (event.session_version, event.occurred_at) == (5, LATER)
    assert (session.started_at, session.ended_at) == (
        LATER if change == "start" else before.started_at,
        LATER if target in {COMPLETED, FAILED} else None,
    )
    session.status, session.version, session.updated_at = before.status, 4, before.updated_at
    session.started_at, session.ended_at = before.started_at, before.ended_at
    assert session == before


@pytest.mark.parametrize(("status", "change", "required", "refusal"), REFUSED)
def test_a_refused_change_names_both_statuses_and_changes_nothing(
    status: SessionStatus, change: str, required: SessionStatus, refusal: type[InvalidStatus]
) -> None:
    session = a_session(status=status)
    before = copy(session)

    with pytest.raises(refusal) as refused:
        CHANGES[change](session, at=LATER)

    assert refused.value.code == "INVALID_STATUS"
    assert refused.value.details == {
        "sessionId": str(session.id),
        "currentStatus": status,
        "requiredStatus": required,
    }
    assert session == before


@pytest.mark.parametrize("change", CHANGES)
def test_refuses_a_time_without_zone(change: str) -> None:
    session = a_session(status=REQUIRED_STATUS[change][0])
    before = copy(session)

    with pytest.raises(ValueError, match=r"^the time of an event needs a time zone$"):
        CHANGES[change](session, at=datetime(2026, 11, 22))  # noqa: DTZ001  the point

    assert session == before


def test_a_session_begins_as_planned_with_its_event() -> None:
    session, event = Session.plan(
        user_id=(user_id := uuid4()),
        session_id=(session_id := uuid4()),
        session_date=MORNING,
        sets=(12, None),
        notes=Notes("leg day"),
        at=LATER,
    )

    assert session == a_session(
        user_id=user_id,
        id=session_id,
        status=PLANNED,
        session_date=MORNING,
        started_at=None,
        ended_at=None,
        sets=(12, None),
        rpe=None,
        notes="leg day",
        version=1,
        created_at=LATER,
        updated_at=LATER,
    )
    assert (event.session_version, event.occurred_at) == (1, LATER)
    assert (event.type, event.data()) == (
        "session_planned",
        {"sessionDate": "2026-11-22T09:00:00Z"},
    )


def test_refuses_to_start_while_another_session_is_in_progress() -> None:
    session, active = a_session(status=PLANNED), uuid4()
    before = copy(session)

    with pytest.raises(ActiveSessionExists) as refused:
        session.start(at=LATER, active_session_id=active)

    assert refused.value.details == {"activeSessionId": str(active)}
    assert session == before


def test_a_second_start_reports_the_status_of_the_session_itself() -> None:
    session = a_session()

    with pytest.raises(StatusTooLate):
        session.start(at=LATER, active_session_id=session.id)


def test_the_event_of_a_start_has_no_data() -> None:
    event = a_session(status=PLANNED).start(at=LATER)

    assert isinstance(event, SessionStarted)
    assert (event.type, event.data()) == ("session_started", {})


@pytest.mark.parametrize("reason", ["knee hurts", None])
def test_failing_records_the_reason_and_keeps_sets_and_notes(reason: str | None) -> None:
    session = a_session(sets=(12, None), rpe=9, notes="slippery floor")

    event = session.fail(Reason.parse(reason), at=LATER)

    assert isinstance(event, SessionFailed)
    assert (event.type, event.data()) == ("session_failed", {"reason": reason})
    assert (session.sets, session.rpe, session.notes) == ((12, None), 9, "slippery floor")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({}, {"sets": (12, None), "rpe": 7}),
        ({"sets": (8, 8)}, {"sets": (8, 8), "rpe": 7}),
        ({"rpe": 10}, {"sets": (12, None), "rpe": 10}),
    ],
    ids=["nothing given", "sets given", "rpe given"],
)
def test_completing_replaces_only_the_given_fields(
    given: dict[str, Any], kept: dict[str, Any]
) -> None:
    session = a_session(sets=(12, None), rpe=7)

    event = session.complete(at=LATER, **given)

    assert isinstance(event, SessionCompleted)
    assert (session.sets, session.rpe) == (kept["sets"], kept["rpe"])
    assert event.type == "session_completed"
    assert event.data() == {
        "sets": list(kept["sets"]),
        "totalReps": sum(reps or 0 for reps in kept["sets"]),
        "rpe": kept["rpe"],
    }


@pytest.mark.parametrize("sets", [(), (None, None)], ids=["no set", "no set done"])
def test_refuses_to_complete_without_any_repetition(sets: tuple[None, ...]) -> None:
    session = a_session(sets=sets)
    before = copy(session)

    with pytest.raises(NoRepetitions) as refused:
        session.complete(at=LATER)

    assert refused.value.details == {"sessionId": str(session.id)}
    assert session == before


def test_total_reps_ignores_sets_that_were_not_done() -> None:
    assert a_session(sets=(12, 10, None)).total_reps == 22
    assert a_session(sets=()).total_reps == 0


def test_a_later_time_may_come_from_a_clock_that_runs_behind() -> None:
    session = a_session(updated_at=MORNING)

    event = session.fail(None, at=MORNING - timedelta(seconds=1))

    assert session.updated_at == event.occurred_at


def test_the_event_of_a_plan_names_its_date_in_utc_whatever_the_zone_of_the_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, event = Session.plan(
        user_id=uuid4(),
        session_id=uuid4(),
        session_date=MORNING.astimezone(timezone(timedelta(hours=5, minutes=30))),
        at=LATER,
    )
    with monkeypatch.context() as changed:
        changed.setenv("TZ", "Asia/Kolkata")
        time.tzset()
        data = event.data()
    time.tzset()

    assert data == {"sessionDate": "2026-11-22T09:00:00Z"}

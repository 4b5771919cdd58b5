# SPDX-License-Identifier: MIT
"""Updates of a session: what they replace, when they are refused, and those without effect."""

from copy import copy
from datetime import datetime

import pytest

from service.domain.errors import StatusTooLate
from service.domain.session import SessionChanges, SessionStatus
from tests.builders import A_MINUTE, MORNING, a_session

LATER = MORNING + A_MINUTE
EVERY_FIELD: SessionChanges = {
    "session_date": LATER,
    "sets": (8, None),
    "rpe": None,
    "notes": "the knee hurts",
}


def test_every_given_value_replaces_the_sessions() -> None:
    session = a_session(status=SessionStatus.PLANNED, version=4)

    event = session.update(EVERY_FIELD, at=LATER)

    assert (session.status, session.version, session.updated_at) == ("planned", 5, LATER)
    assert {name: getattr(session, name) for name in EVERY_FIELD} == EVERY_FIELD
    assert event
    assert (event.type, event.session_version, event.occurred_at) == ("session_updated", 5, LATER)
    assert event.data() == {
        "sets": [8, None],
        "totalReps": 8,
        "rpe": None,
        "notes": "the knee hurts",
        "sessionDate": "2026-11-22T09:01:00Z",
    }


def test_values_that_are_not_given_stay_and_are_in_the_event() -> None:
    session = a_session()
    before = copy(session)

    event = session.update({"rpe": 9}, at=LATER)

    assert (session.sets, session.notes) == (before.sets, before.notes)
    assert event
    assert event.data() == {
        "sets": [12, 10, None],
        "totalReps": 22,
        "rpe": 9,
        "notes": before.notes,
        "sessionDate": "2026-11-22T09:00:00Z",
    }


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"rpe": 7},
        {"sets": (12, 10, None)},
        {"notes": "knee felt fine"},
        {"session_date": MORNING},
    ],
    ids=["nothing", "rpe", "sets", "notes", "date"],
)
@pytest.mark.parametrize("status", ["planned", "in_progress"])
def test_an_update_without_effect_has_no_event_and_changes_nothing(
    status: str, changes: SessionChanges
) -> None:
    session = a_session(status=SessionStatus(status))
    before = copy(session)

    assert session.update(changes, at=LATER) is None
    assert session == before


@pytest.mark.parametrize("changes", [{}, {"rpe": 9}], ids=["nothing", "rpe"])
@pytest.mark.parametrize("status", ["completed", "failed"])
def test_a_final_session_refuses_every_update_and_stays(
    status: str, changes: SessionChanges
) -> None:
    session = a_session(status=SessionStatus(status))
    before = copy(session)

    with pytest.raises(StatusTooLate) as refused:
        session.update(changes, at=LATER)

    assert refused.value.details == {
        "sessionId": str(session.id),
        "currentStatus": status,
        "requiredStatus": "in_progress",
    }
    assert session == before


def test_a_session_in_progress_refuses_another_date_and_stays() -> None:
    session = a_session()
    before = copy(session)

    with pytest.raises(StatusTooLate) as refused:
        session.update({"rpe": 9, "session_date": LATER}, at=LATER)

    assert refused.value.details["requiredStatus"] == "planned"
    assert session == before


def test_refuses_a_time_without_zone() -> None:
    session = a_session()
    before = copy(session)

    with pytest.raises(ValueError, match="time zone"):
        session.update({"rpe": 9}, at=datetime(2026, 11, 22))  # noqa: DTZ001  the point

    assert session == before

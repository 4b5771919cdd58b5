# SPDX-License-Identifier: MIT
"""Rows of sessions and events: every field in its column, and back again."""

from typing import Any
from uuid import uuid4

import orjson
import pytest
from uuid_utils.compat import uuid7

from service.application.commands import FailSession
from service.application.ports import AppliedCommand
from service.domain.session import Session, SessionStatus
from service.domain.text import Reason
from service.persistence.events import append_parameters, to_idempotency_record
from service.persistence.sessions import COLUMNS, to_session, upsert_parameters
from tests.builders import A_MINUTE, MORNING, a_command, a_session

NAMES = [column.name for column in COLUMNS]
ENDED = {
    "status": SessionStatus.FAILED,
    "session_date": MORNING - A_MINUTE,
    "started_at": MORNING + A_MINUTE,
    "ended_at": MORNING + 2 * A_MINUTE,
    "created_at": MORNING + 3 * A_MINUTE,
    "updated_at": MORNING + 4 * A_MINUTE,
    "version": 4,
}


def applied(session: Session, **command: Any) -> AppliedCommand:
    """The command that fails the session, after it was applied."""
    made = a_command(session, FailSession, reason=Reason("knee"), **command)
    before = a_session(user_id=session.user_id, id=session.id, version=session.version - 1)
    event = before.fail(Reason("knee"), at=MORNING)
    return AppliedCommand(command=made, session=session, events=((uuid7(), event),))


def columns_of(parameters: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(f"{prefix}_"): values for name, values in parameters.items()}


def test_a_session_is_written_as_it_is() -> None:
    session = a_session(sets=(12, None, 1000), rpe=None, notes=None, **ENDED)

    parameters, rows = upsert_parameters([applied(session)])

    assert rows == 1
    expected = {name: (getattr(session, name),) for name in ("user_id", *NAMES)}
    assert columns_of(parameters, "written") == expected | {"sets": ("{12,NULL,1000}",)}


def test_a_session_that_several_commands_changed_is_written_once_as_the_last_one_left_it() -> None:
    first = a_session(version=2)
    last = a_session(user_id=first.user_id, id=first.id, **ENDED)
    namesake = a_session(id=first.id, status=SessionStatus.FAILED, version=9)

    parameters, rows = upsert_parameters([applied(first), applied(namesake), applied(last)])

    written = columns_of(parameters, "written")
    assert rows == 2
    assert set(zip(written["user_id"], written["version"], strict=True)) == {
        (last.user_id, 4),
        (namesake.user_id, 9),
    }


def test_sessions_in_progress_are_written_last() -> None:
    """Else two would be in progress for a moment, which the index of the table refuses."""
    statuses = [
        SessionStatus.IN_PROGRESS,
        SessionStatus.FAILED,
        SessionStatus.IN_PROGRESS,
        SessionStatus.PLANNED,
    ]
    sessions = [applied(a_session(status=status, version=2)) for status in statuses]

    parameters, _ = upsert_parameters(sessions)

    assert columns_of(parameters, "written")["status"] == (
        "failed",
        "planned",
        "in_progress",
        "in_progress",
    )


@pytest.mark.parametrize("facts", [ENDED, {"rpe": None, "notes": None, "sets": ()}])
def test_a_row_becomes_the_session_that_was_written(facts: dict[str, Any]) -> None:
    session = a_session(**facts)
    row = [getattr(session, name) for name in NAMES]
    row[NAMES.index("status")] = str(session.status)
    row[NAMES.index("sets")] = list(session.sets)

    read = to_session(session.user_id, row)

    assert read == session
    assert isinstance(read.status, SessionStatus)


def test_an_event_is_written_with_its_request() -> None:
    done = applied(a_session(**ENDED), request_id="phone-7", traceparent="00-4b-00-01")

    [(event_id, event)] = done.events
    assert columns_of(append_parameters([done]), "appended") == {
        "user_id": (event.user_id,),
        "id": (event_id,),
        "session_id": (event.session_id,),
        "session_version": (4,),
        "event_type": ("session_failed",),
        "event_data": ('{"reason":"knee"}',),
        "occurred_at": (MORNING,),
        "request_id": ("phone-7",),
        "idempotency_key": (None,),
        "command_fingerprint": (None,),
        "session_snapshot": (None,),
        "traceparent": ("00-4b-00-01",),
    }


def test_the_first_event_of_a_command_holds_its_idempotency_record() -> None:
    done = applied(a_session(**ENDED), idempotency_key="tap-1")
    [(first, event)] = done.events
    twice = AppliedCommand(
        command=done.command, session=done.session, events=((first, event), (uuid7(), event))
    )

    written = columns_of(append_parameters([twice, applied(a_session(**ENDED))]), "appended")

    assert written["idempotency_key"] == ("tap-1", None, None)
    assert written["command_fingerprint"] == (done.command.fingerprint(), None, None)
    assert written["session_snapshot"][1:] == (None, None)


@pytest.mark.parametrize(
    "facts", [ENDED, {"rpe": None, "notes": None, "sets": ()}, {"notes": "ból 💪"}]
)
def test_a_snapshot_becomes_the_session_that_was_answered(facts: dict[str, Any]) -> None:
    done = applied(a_session(**{"version": 2, **facts}), idempotency_key="tap-1")
    [snapshot] = append_parameters([done])["appended_session_snapshot"]

    record = to_idempotency_record(done.session.user_id, b"print", orjson.loads(snapshot))

    assert record.fingerprint == b"print"
    assert record.session == done.session
    assert isinstance(record.session.status, SessionStatus)


def test_reads_a_snapshot_as_earlier_releases_wrote_it() -> None:
    """Snapshots live as long as their events."""
    snapshot = {
        "id": "01a2155d-b22b-738b-9a82-dee0e3363f83",
        "status": "failed",
        "sets": [12, None],
        "rpe": 7,
        "notes": "slippery floor",
        "version": 3,
        "session_date": "2026-11-22T09:00:00+00:00",
        "started_at": "2026-11-22T09:00:00+00:00",
        "ended_at": None,
        "created_at": "2026-11-22T09:00:00+00:00",
        "updated_at": "2026-11-22T09:00:00+00:00",
    }

    session = to_idempotency_record(user_id := uuid4(), b"print", snapshot).session

    assert (session.user_id, str(session.id)) == (user_id, snapshot["id"])
    assert (session.sets, session.rpe, session.notes) == ((12, None), 7, "slippery floor")
    assert (session.version, session.started_at, session.ended_at) == (3, MORNING, None)

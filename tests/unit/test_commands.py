# SPDX-License-Identifier: MIT
"""Fingerprints: equal for the same command, different for any other."""

import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest
from uuid_utils.compat import uuid7

from service.application.command import Command, CommandContext
from service.application.commands import (
    CompleteSession,
    FailSession,
    PlanSession,
    StartSession,
    UpdateSession,
)
from service.domain.errors import ActiveSessionExists, SessionNotFound
from service.domain.session import SessionStatus
from service.domain.text import Notes, Reason
from tests.builders import A_MINUTE, MORNING, a_command, a_session

SESSION = a_session()
CHANGES: list[tuple[type[Command], dict[str, Any]]] = [
    (StartSession, {}),
    (CompleteSession, {}),
    (CompleteSession, {"sets": ()}),
    (CompleteSession, {"sets": (1, None)}),
    (CompleteSession, {"rpe": 1}),
    (FailSession, {}),
    (FailSession, {"reason": Reason("knee")}),
    (FailSession, {"reason": Reason("hip")}),
    (UpdateSession, {"changes": {"sets": ()}}),
    (UpdateSession, {"changes": {"sets": (1, None)}}),
    (UpdateSession, {"changes": {"rpe": 1}}),
    (UpdateSession, {"changes": {"rpe": None}}),
    (UpdateSession, {"changes": {"notes": None}}),
    (UpdateSession, {"changes": {"notes": None, "rpe": None}}),
    (UpdateSession, {"changes": {"session_date": MORNING}}),
]
PLANS: list[tuple[type[Command], dict[str, Any]]] = [
    (PlanSession, {}),
    (PlanSession, {"session_date": MORNING}),
    (PlanSession, {"session_date": MORNING + A_MINUTE}),
    (PlanSession, {"sets": (1,)}),
    (PlanSession, {"notes": Notes("legs")}),
    (PlanSession, {"start_now": True}),
]


def test_the_arguments_change_the_fingerprint() -> None:
    commands = [a_command(SESSION, kind, **arguments) for kind, arguments in CHANGES + PLANS]
    assert len({command.fingerprint() for command in commands}) == len(commands)


@pytest.mark.parametrize(("kind", "arguments"), CHANGES + PLANS)
def test_request_id_and_key_do_not_change_the_fingerprint(
    kind: type[Command], arguments: dict[str, Any]
) -> None:
    one = a_command(SESSION, kind, **arguments)
    other = a_command(SESSION, kind, request_id="another", idempotency_key="k", **arguments)
    assert one.fingerprint() == other.fingerprint()


@pytest.mark.parametrize(("kind", "arguments"), CHANGES)
def test_the_session_id_changes_the_fingerprint(
    kind: type[Command], arguments: dict[str, Any]
) -> None:
    one, other = (a_command(kind=kind, session_id=uuid7(), **arguments) for _ in range(2))
    assert one.fingerprint() != other.fingerprint()


@pytest.mark.parametrize(("kind", "arguments"), PLANS)
def test_the_id_of_a_new_session_does_not_change_the_fingerprint(
    kind: type[Command], arguments: dict[str, Any]
) -> None:
    one, other = (a_command(kind=kind, session_id=uuid7(), **arguments) for _ in range(2))
    assert one.fingerprint() == other.fingerprint()


@pytest.mark.parametrize(("kind", "arguments"), CHANGES)
def test_refuses_to_change_a_session_that_does_not_exist(
    kind: type[Command], arguments: dict[str, Any]
) -> None:
    with pytest.raises(SessionNotFound):
        a_command(kind=kind, **arguments).apply(None, CommandContext(at=MORNING))


@pytest.mark.parametrize(
    ("command", "locks"),
    [
        (a_command(kind=StartSession), True),
        (a_command(kind=PlanSession, start_now=True), True),
        (a_command(kind=PlanSession, idempotency_key="k"), True),
        (a_command(kind=PlanSession), False),
        (a_command(kind=CompleteSession, idempotency_key="k"), False),
        (a_command(kind=FailSession), False),
        (a_command(kind=UpdateSession, idempotency_key="k", changes={"rpe": 1}), False),
    ],
    ids=["start", "plan and start", "plan with a key", "plan", "complete", "fail", "update"],
)
def test_locks_the_user_if_the_lock_of_one_row_is_not_enough(command: Command, locks: bool) -> None:
    assert command.locks_user is locks


STORED: list[tuple[type[Command], dict[str, Any], list[object]]] = [
    (StartSession, {}, ["start_session", str(SESSION.id), {}]),
    (
        CompleteSession,
        {"sets": (8, None), "rpe": 9},
        ["complete_session", str(SESSION.id), {"sets": [8, None], "rpe": 9}],
    ),
    (
        CompleteSession,
        {},
        ["complete_session", str(SESSION.id), {"sets": None, "rpe": None}],
    ),
    (FailSession, {"reason": Reason("hip")}, ["fail_session", str(SESSION.id), {"reason": "hip"}]),
    (FailSession, {}, ["fail_session", str(SESSION.id), {"reason": None}]),
    (
        UpdateSession,
        {"changes": {"session_date": MORNING, "sets": (8, None), "rpe": None}},
        [
            "update_session",
            str(SESSION.id),
            {"sessionDate": "2026-11-22T09:00:00+00:00", "sets": [8, None], "rpe": None},
        ],
    ),
    (
        PlanSession,
        {"session_date": MORNING, "sets": (1,), "notes": Notes("legs"), "start_now": True},
        [
            "plan_session",
            None,
            {
                "sessionDate": "2026-11-22T09:00:00+00:00",
                "sets": [1],
                "notes": "legs",
                "startNow": True,
            },
        ],
    ),
    (
        PlanSession,
        {},
        ["plan_session", None, {"sessionDate": None, "sets": [], "notes": None, "startNow": False}],
    ),
]


@pytest.mark.parametrize(("kind", "arguments", "identity"), STORED)
def test_a_fingerprint_stays_what_earlier_releases_stored(
    kind: type[Command], arguments: dict[str, Any], identity: list[object]
) -> None:
    """Else a retry across an upgrade would be refused as another command."""
    expected = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).digest()
    assert a_command(SESSION, kind, **arguments).fingerprint() == expected


AT = MORNING + A_MINUTE


@pytest.mark.parametrize(
    ("kind", "before", "arguments", "expected"),
    [
        (StartSession, "planned", {}, {"status": "in_progress", "started_at": AT}),
        (
            CompleteSession,
            "in_progress",
            {"sets": (8, None), "rpe": 9},
            {"status": "completed", "ended_at": AT, "sets": (8, None), "rpe": 9},
        ),
        (CompleteSession, "in_progress", {}, {"status": "completed", "ended_at": AT}),
        (
            FailSession,
            "in_progress",
            {"reason": Reason("hip")},
            {"status": "failed", "ended_at": AT},
        ),
        (
            UpdateSession,
            "in_progress",
            {"changes": {"sets": (8, 8), "notes": None}},
            {"sets": (8, 8), "notes": None},
        ),
        (
            UpdateSession,
            "planned",
            {"changes": {"session_date": AT, "rpe": None}},
            {"session_date": AT, "rpe": None},
        ),
    ],
)
def test_a_command_changes_a_copy_of_its_session(
    kind: type[Command], before: str, arguments: dict[str, Any], expected: dict[str, Any]
) -> None:
    session = a_session(status=SessionStatus(before))
    unchanged = replace(session)

    after, [event] = a_command(session, kind, **arguments).apply(session, CommandContext(at=AT))

    assert session == unchanged
    assert after == replace(session, version=session.version + 1, updated_at=AT, **expected)
    assert (event.session_id, event.session_version, event.occurred_at) == (session.id, 2, AT)
    if kind is FailSession:
        assert event.data() == {"reason": "hip"}


@pytest.mark.parametrize("start_now", [False, True])
@pytest.mark.parametrize("date", [None, MORNING])
def test_a_plan_creates_the_session_that_it_describes(start_now: bool, date: Any) -> None:
    plan = a_command(
        SESSION, PlanSession, session_date=date, sets=(5,), notes=Notes("legs"), start_now=start_now
    )

    after, events = plan.apply(None, CommandContext(at=AT))

    assert (after.user_id, after.id) == (SESSION.user_id, SESSION.id)
    assert (after.session_date, after.sets, after.notes) == (date or AT, (5,), "legs")
    assert (after.status, after.version) == (("in_progress", 2) if start_now else ("planned", 1))
    assert (after.created_at, after.updated_at) == (AT, AT)
    assert [event.type for event in events] == ["session_planned", "session_started"][
        : 1 + start_now
    ]


def test_a_start_is_refused_while_the_user_has_another_session_in_progress() -> None:
    planned, active = a_session(status=SessionStatus.PLANNED), a_session()
    context = CommandContext(at=AT, active_session_id=active.id)

    for command in (
        a_command(planned, StartSession),
        a_command(kind=PlanSession, start_now=True),
    ):
        with pytest.raises(ActiveSessionExists, match=str(active.id)):
            command.apply(None if command.creates else planned, context)

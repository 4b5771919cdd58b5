# SPDX-License-Identifier: MIT
"""Commands applied in memory, each as if it were alone."""

from collections.abc import Sequence
from uuid import uuid4

import pytest
from uuid_utils.compat import uuid7

from service.application.command import Command
from service.application.commands import PlanSession, StartSession
from service.application.group_commit.working_set import WorkingSet
from service.application.ports import LoadedCommand, Outcome
from service.domain.errors import (
    ActiveSessionExists,
    IdempotencyKeyReused,
    PreconditionFailed,
    SessionNotFound,
    StatusTooLate,
)
from service.domain.session import Session, SessionStatus
from service.domain.text import Reason
from tests.builders import MORNING, a_command, a_session


def a_working_set(*sessions: Session, active: Session | None = None) -> WorkingSet:
    loaded = [
        LoadedCommand(
            command=a_command(each, StartSession),
            session=each,
            must_wait=False,
            idempotency_record=None,
            active_session_id=active.id if active else None,
            is_committed=False,
        )
        for each in sessions
    ]
    return WorkingSet.of(loaded, at=MORNING, new_id=uuid7)


def apply(working_set: WorkingSet, command: Command) -> Outcome:
    return working_set.apply(command, uuid7())


def statuses(working_set: WorkingSet) -> Sequence[SessionStatus]:
    return [each.session.status for each in working_set.applied]


def test_a_command_sees_the_session_that_the_previous_command_changed() -> None:
    session = a_session()
    working_set = a_working_set(session)

    assert apply(working_set, a_command(session)).session.version == 2
    with pytest.raises(StatusTooLate):
        apply(working_set, a_command(session))

    assert statuses(working_set) == ["failed"]
    assert session.status is SessionStatus.IN_PROGRESS


def test_replays_a_key_only_for_the_same_command() -> None:
    session = a_session()
    working_set = a_working_set(session)
    command = a_command(session, idempotency_key="tap-1")

    done = apply(working_set, command)

    assert apply(working_set, command) == Outcome(done.session, replayed=True)
    with pytest.raises(IdempotencyKeyReused):
        apply(working_set, a_command(session, idempotency_key="tap-1", reason=Reason("hip")))
    assert len(working_set.applied) == 1


def test_two_users_may_use_the_same_key() -> None:
    sessions = [a_session() for _ in range(2)]
    working_set = a_working_set(*sessions)

    outcomes = [apply(working_set, a_command(each, idempotency_key="1")) for each in sessions]

    assert not any(each.replayed for each in outcomes)


def test_a_retry_of_a_plan_gets_the_first_session() -> None:
    user_id = uuid4()
    working_set = a_working_set()
    plan, retry = (
        a_command(kind=PlanSession, user_id=user_id, session_id=uuid7(), idempotency_key="tap-1")
        for _ in range(2)
    )

    first = apply(working_set, plan)

    assert apply(working_set, retry) == Outcome(first.session, replayed=True)


@pytest.mark.parametrize(
    ("command", "refusal"),
    [
        (a_command(), SessionNotFound),
        (a_command(if_match=frozenset({9})), PreconditionFailed),
    ],
)
def test_a_refused_command_changes_nothing(command: Command, refusal: type[Exception]) -> None:
    session = a_session(user_id=command.user_id, id=command.session_id)
    working_set = a_working_set(*([session] if refusal is PreconditionFailed else []))

    with pytest.raises(refusal):
        apply(working_set, command)

    assert working_set.applied == []


def test_a_user_has_one_session_in_progress_at_a_time() -> None:
    running = a_session()
    planned = [a_session(user_id=running.user_id, status=SessionStatus.PLANNED) for _ in range(2)]
    working_set = a_working_set(running, *planned, active=running)
    starts = [a_command(each, StartSession) for each in planned]

    with pytest.raises(ActiveSessionExists, match=str(running.id)):
        apply(working_set, starts[0])
    apply(working_set, a_command(running))
    apply(working_set, starts[0])
    with pytest.raises(ActiveSessionExists, match=str(planned[0].id)):
        apply(working_set, starts[1])

    assert statuses(working_set) == ["failed", "in_progress"]


def test_the_first_event_gets_the_given_id() -> None:
    working_set, event_id = a_working_set(), uuid7()

    working_set.apply(a_command(kind=PlanSession, start_now=True), event_id)

    [applied] = working_set.applied
    (first, _), (second, _) = applied.events
    assert (first, second != event_id) == (event_id, True)

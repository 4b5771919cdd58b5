"""When two commands are the same."""

from typing import Any

import pytest
from uuid_utils.compat import uuid7

from service.application.commands import (
    Command,
    CommandContext,
    CompleteSession,
    FailSession,
    PlanSession,
    StartSession,
)
from service.domain.errors import SessionNotFound
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
]
PLANS: list[tuple[type[Command], dict[str, Any]]] = [
    (PlanSession, {}),
    (PlanSession, {"session_date": MORNING}),
    (PlanSession, {"session_date": MORNING + A_MINUTE}),
    (PlanSession, {"sets": (1,)}),
    (PlanSession, {"notes": Notes("legs")}),
    (PlanSession, {"start_now": True}),
]


def test_commands_that_ask_for_something_else_have_another_fingerprint() -> None:
    commands = [a_command(SESSION, kind, **asked) for kind, asked in CHANGES + PLANS]
    assert len({command.fingerprint() for command in commands}) == len(commands)


@pytest.mark.parametrize(("kind", "asked"), CHANGES + PLANS)
def test_who_asks_when_and_with_which_key_makes_no_difference(
    kind: type[Command], asked: dict[str, Any]
) -> None:
    one = a_command(SESSION, kind, **asked)
    other = a_command(SESSION, kind, request_id="another", idempotency_key="k", **asked)
    assert one.fingerprint() == other.fingerprint()


@pytest.mark.parametrize(("kind", "asked"), CHANGES)
def test_the_same_of_another_session_is_another_command(
    kind: type[Command], asked: dict[str, Any]
) -> None:
    one, other = (a_command(kind=kind, session_id=uuid7(), **asked) for _ in range(2))
    assert one.fingerprint() != other.fingerprint()


@pytest.mark.parametrize(("kind", "asked"), PLANS)
def test_a_plan_is_the_same_whatever_id_its_session_gets(
    kind: type[Command], asked: dict[str, Any]
) -> None:
    one, other = (a_command(kind=kind, session_id=uuid7(), **asked) for _ in range(2))
    assert one.fingerprint() == other.fingerprint()


@pytest.mark.parametrize("kind", [StartSession, CompleteSession, FailSession])
def test_only_a_session_that_exists_can_change(kind: type[Command]) -> None:
    with pytest.raises(SessionNotFound):
        a_command(kind=kind).apply(None, CommandContext(at=MORNING))


@pytest.mark.parametrize(
    ("command", "claims"),
    [
        (a_command(kind=StartSession), True),
        (a_command(kind=PlanSession, start_now=True), True),
        (a_command(kind=PlanSession, idempotency_key="k"), True),
        (a_command(kind=PlanSession), False),
        (a_command(kind=CompleteSession, idempotency_key="k"), False),
        (a_command(kind=FailSession), False),
    ],
    ids=["start", "plan and start", "plan with a key", "plan", "complete", "fail"],
)
def test_claims_its_user_where_no_rows_lock_would_do(command: Command, claims: bool) -> None:
    assert command.claims_user is claims

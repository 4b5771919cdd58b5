# SPDX-License-Identifier: MIT
"""A success that writes nothing is answered only when what it rests on cannot be lost."""

from collections.abc import Awaitable, Callable

import pytest

from service.application.command import Command
from service.application.commands import UpdateSession
from service.application.errors import CommitUnknown, DependencyUnavailable
from service.domain.errors import StatusTooLate
from tests.builders import a_command
from tests.unit.in_memory import (
    InMemoryDatabase,
    commands_on,
    execute_together,
    lose_after_commit,
    results_of,
)

pytestmark = pytest.mark.simulated_time

CONFIRMATIONS = 99
Make = Callable[[InMemoryDatabase], Awaitable[Command]]


def confirmed(database: InMemoryDatabase) -> int:
    return CONFIRMATIONS - len(database.confirm_failures)


async def a_replay(database: InMemoryDatabase) -> Command:
    tap = a_command(database.add(), idempotency_key="tap-1")
    await commands_on(database).execute(tap)
    return tap


async def no_change(database: InMemoryDatabase) -> Command:
    session = database.add()
    return a_command(session, UpdateSession, changes={"sets": session.sets})


async def a_commit_that_was_uncertain(database: InMemoryDatabase) -> Command:
    database.commit_hooks.append(lose_after_commit)
    return a_command(database.add())


KINDS = [a_replay, no_change, a_commit_that_was_uncertain]


@pytest.mark.parametrize("make", KINDS)
async def test_confirms_a_success_that_writes_nothing(
    database: InMemoryDatabase, make: Make
) -> None:
    command = await make(database)

    await commands_on(database).execute(command)

    assert confirmed(database) == 1


@pytest.mark.parametrize("make", KINDS)
async def test_does_not_answer_before_the_confirmation(
    database: InMemoryDatabase, make: Make
) -> None:
    command = await make(database)
    written = len(database.applied)
    database.confirm_failures.extendleft([CommitUnknown(), CommitUnknown()])

    await commands_on(database).execute(command)

    assert confirmed(database) == 1
    assert len(database.applied) == max(written, int(make is a_commit_that_was_uncertain))


@pytest.mark.parametrize("make", KINDS)
async def test_leaves_the_result_unknown_without_a_confirmation(
    database: InMemoryDatabase, make: Make
) -> None:
    command = await make(database)
    database.confirm_failures.extendleft(CommitUnknown() for _ in range(9_999))

    with pytest.raises(DependencyUnavailable):
        await commands_on(database, timeout=1.0).execute(command)


async def test_confirms_neither_a_refusal_nor_a_commit(database: InMemoryDatabase) -> None:
    session = database.add()

    first, second = await results_of(
        *await execute_together(
            database, commands_on(database), a_command(session), a_command(session)
        )
    )

    assert first.session.version == 2
    assert isinstance(second, StatusTooLate)
    assert confirmed(database) == 0

# SPDX-License-Identifier: MIT
"""One group in one transaction: every command gets the outcome that it would have alone."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from uuid import uuid4

import pytest

from service.application.commands import PlanSession
from service.application.errors import (
    CommitUnknown,
    ConnectionLost,
    Contended,
    DependencyUnavailable,
    Overloaded,
    TimedOut,
)
from service.application.ports import Outcome
from service.domain.errors import ActiveSessionExists, SessionNotFound, StatusTooLate
from service.domain.session import SessionStatus
from tests.builders import A_MINUTE, MORNING, a_command
from tests.unit.in_memory import (
    InMemoryDatabase,
    InMemoryUnitOfWork,
    commands_on,
    execute_together,
    lose_after_commit,
    lose_before_commit,
    results_of,
)

pytestmark = pytest.mark.simulated_time

LOSSES = [lose_before_commit, lose_after_commit]


async def test_answers_with_the_session_as_committed(database: InMemoryDatabase) -> None:
    session = database.add()

    outcome = await commands_on(database).execute(a_command(session))

    assert outcome == Outcome(database.sessions[session.user_id, session.id])
    assert outcome.session.status is SessionStatus.FAILED
    assert [each.session for each in database.applied] == [outcome.session]


async def test_acts_for_the_callers_of_the_group_alone(database: InMemoryDatabase) -> None:
    stranger = a_command(database.add(), user_id=uuid4())

    with pytest.raises(SessionNotFound):
        await commands_on(database).execute(stranger)

    assert database.groups == [frozenset({stranger.user_id})]


async def test_a_refused_command_leaves_its_neighbours_their_outcome(
    database: InMemoryDatabase,
) -> None:
    late, good = database.add(status=SessionStatus.COMPLETED), database.add()

    tasks = await execute_together(
        database, commands_on(database), a_command(), a_command(late), a_command(good)
    )
    missing, refused, done = await results_of(*tasks)

    assert (type(missing), type(refused)) == (SessionNotFound, StatusTooLate)
    assert done.session.id == good.id
    assert len(database.groups) == 2


async def test_a_held_session_waits_and_its_neighbours_do_not(database: InMemoryDatabase) -> None:
    held, free = database.add(), database.add()
    database.held_sessions.add((held.user_id, held.id))

    waiting, neighbour = await execute_together(
        database, commands_on(database), a_command(held), a_command(free)
    )

    assert (await neighbour).session.id == free.id
    assert not waiting.done()
    database.held_sessions.clear()
    assert (await waiting).session.id == held.id
    assert set(database.groups[2:]) == {frozenset({held.user_id})}


async def test_a_held_user_waits_and_commands_that_lock_no_user_do_not(
    database: InMemoryDatabase,
) -> None:
    start = database.add_start()
    ended = database.add(user_id=start.user_id, status=SessionStatus.COMPLETED)
    database.held_users.add(start.user_id)

    waiting, late, neighbour = await execute_together(
        database, commands_on(database), start, a_command(ended), database.add_start()
    )

    assert isinstance((await results_of(late))[0], StatusTooLate)
    assert (await neighbour).session.status is SessionStatus.IN_PROGRESS
    assert not waiting.done()
    database.held_users.clear()
    assert (await waiting).session.status is SessionStatus.IN_PROGRESS


async def test_repeated_commands_of_a_held_session_wait_with_it(
    database: InMemoryDatabase,
) -> None:
    start = replace(database.add_start(), idempotency_key="tap-1")
    database.held_sessions.add(start.session_key)

    tasks = await execute_together(
        database, commands_on(database), start, start, replace(start, idempotency_key="tap-2")
    )
    await database.begun.acquire()
    assert not any(task.done() for task in tasks)

    database.held_sessions.clear()
    done, replayed, late = await results_of(*tasks)
    assert replayed == Outcome(done.session, replayed=True)
    assert isinstance(late, StatusTooLate)


async def test_a_session_that_stays_held_is_refused_as_not_executed(
    database: InMemoryDatabase,
) -> None:
    session = database.add()
    database.held_sessions.add((session.user_id, session.id))

    with pytest.raises(Overloaded):
        await commands_on(database, timeout=0.0).execute(a_command(session))

    assert database.applied == []


async def test_of_many_starts_in_a_group_one_wins(database: InMemoryDatabase) -> None:
    user_id = uuid4()
    starts = [database.add_start(user_id=user_id) for _ in range(5)]

    won, *refused = await results_of(
        *await execute_together(database, commands_on(database), *starts)
    )

    assert {type(each) for each in refused} == {ActiveSessionExists}
    assert {each.details["activeSessionId"] for each in refused} == {str(won.session.id)}
    assert len(database.groups) == 2


async def test_a_session_ends_and_the_next_one_starts_in_the_same_group(
    database: InMemoryDatabase,
) -> None:
    running = database.add()
    start = database.add_start(user_id=running.user_id)

    ended, started = await results_of(
        *await execute_together(database, commands_on(database), a_command(running), start)
    )

    assert ended.session.status is SessionStatus.FAILED
    assert started.session.status is SessionStatus.IN_PROGRESS
    assert len(database.groups) == 2


async def test_a_session_is_planned_started_and_failed_in_the_same_group(
    database: InMemoryDatabase,
) -> None:
    plan = a_command(kind=PlanSession, start_now=True)
    fail = a_command(user_id=plan.user_id, session_id=plan.session_id)

    planned, failed = await results_of(
        *await execute_together(database, commands_on(database), plan, fail)
    )

    assert (planned.session.version, failed.session.version) == (2, 3)
    events = [event for each in database.applied[1:] for _, event in each.events]
    assert [event.session_version for event in events] == [1, 2, 3]
    assert len({event_id for each in database.applied for event_id, _ in each.events}) == 4


@pytest.mark.parametrize(
    ("failure", "sizes"),
    [
        (Contended(), [1, 3, 1, 1, 1]),
        (ZeroDivisionError(), [1, 3, 1, 1, 1]),
        (ConnectionLost(), [1, 3, 3]),
        (TimedOut(), [1, 3, 3]),
    ],
)
async def test_a_failed_group_is_retried_one_by_one_if_one_command_may_be_the_cause(
    database: InMemoryDatabase, failure: Exception, sizes: list[int]
) -> None:
    database.save_failures.extend([None, failure])
    group = [a_command(database.add()) for _ in range(3)]

    outcomes = await results_of(*await execute_together(database, commands_on(database), *group))

    assert all(isinstance(each, Outcome) for each in outcomes)
    assert list(map(len, database.groups)) == sizes


async def test_a_bug_reaches_the_caller_of_the_command(database: InMemoryDatabase) -> None:
    database.save_failures.append(ZeroDivisionError())

    with pytest.raises(ZeroDivisionError):
        await commands_on(database).execute(a_command(database.add()))


async def test_every_command_of_a_group_learns_that_the_database_is_unavailable(
    database: InMemoryDatabase,
) -> None:
    database.open_failures.extend([None, DependencyUnavailable("database")])
    group = [a_command() for _ in range(3)]

    outcomes = await results_of(*await execute_together(database, commands_on(database), *group))

    assert [type(each) for each in outcomes] == [DependencyUnavailable] * 3
    assert len(set(map(id, outcomes))) == 3
    assert len(database.groups) == 2


async def test_a_retry_that_cannot_begin_learns_that_the_database_is_unavailable(
    database: InMemoryDatabase,
) -> None:
    database.save_failures.append(ConnectionLost())
    database.open_failures.extend([None, *(DependencyUnavailable("database") for _ in range(99))])

    with pytest.raises(DependencyUnavailable):
        await commands_on(database, timeout=0.05).execute(a_command(database.add()))


@pytest.mark.parametrize("kind", ["fail", "plan with a key"])
@pytest.mark.parametrize("lose", LOSSES)
async def test_an_uncertain_commit_is_looked_up_and_executed_once(
    database: InMemoryDatabase, lose: Callable[[InMemoryUnitOfWork], None], kind: str
) -> None:
    database.commit_hooks.append(lose)
    command = a_command(database.add())
    if kind != "fail":
        command = a_command(kind=PlanSession, idempotency_key="tap-1")

    outcome = await commands_on(database).execute(command)

    assert outcome == Outcome(database.sessions[command.session_key])
    assert len(database.applied) == 1


async def test_two_uncertain_commits_lead_to_one_execution(database: InMemoryDatabase) -> None:
    database.commit_hooks.extend([lose_before_commit, lose_after_commit])

    outcome = await commands_on(database).execute(a_command(database.add()))

    assert outcome.session.version == 2
    assert len(database.applied) == 1


async def test_an_uncertain_commit_that_still_runs_is_waited_for(
    database: InMemoryDatabase,
) -> None:
    """Its transaction holds the session. The answer is then the outcome that was committed."""
    session = database.add()
    times = [MORNING + number * A_MINUTE for number in range(50)]
    running: list[InMemoryUnitOfWork] = []

    def lose_while_running(work: InMemoryUnitOfWork) -> None:
        database.held_sessions.add((session.user_id, session.id))
        running.append(work)
        raise CommitUnknown

    database.commit_hooks.append(lose_while_running)
    commands = commands_on(database, iter(times).__next__)
    waiting = asyncio.create_task(commands.execute(a_command(session)))
    for _ in range(2):
        await database.begun.acquire()
    running[0].commit_now()
    database.held_sessions.clear()

    assert (await waiting).session.updated_at == times[0]
    assert len(database.applied) == 1


async def test_a_later_change_does_not_change_the_answer_of_an_uncertain_commit(
    database: InMemoryDatabase,
) -> None:
    session = database.add()

    def lose_and_edit(work: InMemoryUnitOfWork) -> None:
        work.commit_now()
        database.sessions[session.user_id, session.id].version = 9
        raise CommitUnknown

    database.commit_hooks.append(lose_and_edit)
    outcome = await commands_on(database).execute(a_command(session))

    assert outcome.session.status is SessionStatus.FAILED
    assert len(database.applied) == 1


@pytest.mark.parametrize("obstacle", [Overloaded(), DependencyUnavailable("database")])
async def test_an_uncertain_commit_is_resolved_once_the_database_is_back(
    database: InMemoryDatabase, obstacle: Exception
) -> None:
    database.commit_hooks.append(lose_after_commit)
    database.open_failures.extend([None, obstacle, obstacle])

    outcome = await commands_on(database, timeout=0.0).execute(a_command(database.add()))

    assert outcome.session.version == 2
    assert len(database.applied) == 1


async def test_never_claims_that_an_uncertain_commit_was_not_executed(
    database: InMemoryDatabase,
) -> None:
    session = database.add()

    def lose_and_hold(_work: InMemoryUnitOfWork) -> None:
        database.held_sessions.add((session.user_id, session.id))
        raise CommitUnknown

    database.commit_hooks.append(lose_and_hold)

    with pytest.raises(DependencyUnavailable):
        await commands_on(database, timeout=0.0, resolve_timeout=0.0).execute(a_command(session))


@pytest.mark.parametrize(
    ("lose", "first"), [(lose_before_commit, DependencyUnavailable), (lose_after_commit, Outcome)]
)
async def test_never_claims_that_the_repetition_of_an_uncertain_command_was_not_executed(
    database: InMemoryDatabase, lose: Callable[[InMemoryUnitOfWork], None], first: type
) -> None:
    session = database.add()

    def lose_and_hold(work: InMemoryUnitOfWork) -> None:
        database.held_sessions.add((session.user_id, session.id))
        lose(work)

    database.commit_hooks.extend([lambda _work: None, lose_and_hold])
    tap = a_command(session, idempotency_key="tap-1")

    answers = await results_of(
        *await execute_together(database, commands_on(database, timeout=5.0), tap, tap)
    )

    assert [type(each) for each in answers] == [first, DependencyUnavailable]


async def test_the_repetition_of_an_uncertain_command_gets_its_replay(
    database: InMemoryDatabase,
) -> None:
    database.commit_hooks.extend([lambda _work: None, lose_after_commit])
    tap = a_command(database.add(), idempotency_key="tap-1")

    first, second = await results_of(
        *await execute_together(database, commands_on(database), tap, tap)
    )

    assert second == Outcome(first.session, replayed=True)
    assert len(database.applied) == 2
